"""Pruning and sparsifying: what goes, what stays, what is said about it, and that it exports."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from export.channel_groups import channel_groups, count_macs, target_widths
from export.pipeline import export_artifacts
from export.pruning import prune_checkpoint, prune_network
from export.sparsity import sparsify_checkpoint
from export.zeros import holds_two_of_four, weighted_layers, zero_smallest, zero_two_of_four
from runtimes import ArtifactError, UsageError
from runtimes.torch_runtime import build_network, load_network
from sdk import Predictor
from sdk.artifact import TRAINED, Artifact, read_artifact
from sdk.command import main
from tests.export.conftest import TEST_IMAGES
from train.networks.names import base_name

SAME_ANSWERS = 1e-4
"""Of probabilities between torch and an engine in fp32: other orders of addition give about 1e-6."""


def _network(name: str, channels: int, side: int) -> tuple[nn.Module, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = build_network({"name": name, "arguments": {"channels": channels, "classes": 10}}).eval()
        return network, torch.randn(1, channels, side, side)


@pytest.mark.parametrize(
    ("name", "channels", "side", "least"),
    [("compact_cnn", 1, 28, 0.70), ("resnet18", 3, 64, 0.70), ("mobilenet_v3_small", 3, 64, 0.65)],
    ids=["compact_cnn", "resnet18", "mobilenet_v3_small"],
)
@pytest.mark.parametrize("importance", ["magnitude", "taylor"])
def test_half_of_the_channels_are_most_of_the_work(
    name: str, channels: int, side: int, least: float, importance: str
) -> None:
    network, example = _network(name, channels, side)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    learnt: dict[str, Any] = {}
    if importance == "taylor":
        batch = torch.randn(4, channels, side, side), torch.tensor([0, 1, 2, 3])
        learnt = {"batches": [batch, batch], "loss": _cross_entropy}
    pruned = prune_network(network, example, 0.5, importance=importance, **learnt)
    assert 1 - count_macs(pruned, example) / count_macs(network, example) >= least
    assert pruned(example).shape == (1, 10)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in pruned.parameters())


def _cross_entropy(network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"loss": nn.functional.cross_entropy(network(batch[0]), batch[1])}


def test_macs_are_those_counted_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5)
    )
    assert count_macs(network, torch.zeros(1, 3, 8, 8)) == 4 * 4 * 8 * 3 * 9 + 128 * 5


def test_least_important_channels_go_first() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.Conv2d(4, 2, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([3.0, 0.1, 2.0, 0.2]).reshape(4, 1, 1, 1))
        network[1].weight.fill_(1.0)
    pruned = prune_network(network, torch.zeros(1, 1, 4, 4), 0.5, round_to=1)
    assert pruned[0].weight.flatten().tolist() == [3.0, 2.0]


def test_layers_have_ratios_of_their_own() -> None:
    network, example = _network("compact_cnn", 1, 28)
    names = {"features.stem.0": 0.0, "features.stage2.1.first.0": 0.75}
    pruned = prune_network(network, example, 0.5, layer_ratios=names)
    widths = {name: layer.weight.shape[0] for name, layer in weighted_layers(pruned).items()}
    assert widths == {
        "features.stem.0": 32,
        "features.stage1.0.first.0": 16,
        "features.stage1.0.second.0": 32,
        "features.stage2.0.0": 32,
        "features.stage2.1.first.0": 16,
        "features.stage2.1.second.0": 32,
        "features.stage3.0.0": 64,
        "features.stage3.1.first.0": 64,
        "features.stage3.1.second.0": 64,
        "classifier": 10,
    }


def test_one_layer_alone_can_be_pruned() -> None:
    network, example = _network("resnet18", 3, 64)
    pruned = prune_network(network, example, 0.0, layer_ratios={"layer1.0.conv1": 0.5})
    changed = {
        name
        for name, layer in weighted_layers(network).items()
        if layer.weight.shape != pruned.get_submodule(name).weight.shape
    }
    assert changed == {"layer1.0.conv1", "layer1.0.conv2"}


@pytest.mark.parametrize(
    ("channels", "ratio", "round_to", "kept"),
    [
        (64, 0.5, 8, 32),
        (24, 0.5, 8, 16),
        (64, 0.3, 8, 48),
        (16, 0.75, 8, 4),
        (8, 0.99, 8, 1),
        (10, 0.3, 1, 7),
    ],
)
def test_widths_are_rounded_to_what_kernels_like(
    channels: int, ratio: float, round_to: int, kept: int
) -> None:
    network = nn.Sequential(nn.Conv2d(1, channels, 1), nn.Conv2d(channels, 3, 1))
    groups = channel_groups(network, torch.zeros(1, 1, 4, 4))
    assert [group.root for group in groups] == ["0"]
    assert target_widths(groups, ratio, {}, round_to) == {"0": kept}
    assert prune_network(network, torch.zeros(1, 1, 4, 4), ratio, round_to=round_to)[0].out_channels == kept


def test_grouped_convolutions_stay_whole() -> None:
    network = nn.Sequential(nn.Conv2d(3, 32, 1), nn.Conv2d(32, 32, 3, groups=4), nn.Conv2d(32, 5, 1)).eval()
    example = torch.randn(1, 3, 8, 8)
    pruned = prune_network(network, example, 0.4)
    assert (pruned[1].groups, pruned[1].out_channels % 4, pruned[1].in_channels % 4) == (4, 0, 0)
    assert pruned[1].out_channels < 32
    assert pruned(example).shape == network(example).shape


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ratio": 1.0}, "--ratio: got 1"),
        ({"ratio": -0.1}, "--ratio: got -0.1"),
        ({"ratio": float("nan")}, "--ratio: got nan"),
        ({"layer_ratios": {"features.stem.0": 2.0}}, r"--layer features\.stem\.0: got 2"),
        ({"layer_ratios": {"classifier": 0.5}}, "Layer 'classifier'"),
        ({"layer_ratios": {"nowhere": 0.5}}, "Layer 'nowhere'"),
        (
            {"layer_ratios": {"features.stem.0": 0.5, "features.stage1.0.second.0": 0.25}},
            "two ratios for channels that go together",
        ),
        ({"importance": "magic"}, "--importance: got 'magic'"),
        ({"importance": "taylor"}, "Importance 'taylor': got no batches"),
    ],
    ids=str,
)
def test_senseless_pruning_is_refused_in_one_line(given: dict[str, Any], message: str) -> None:
    network, example = _network("compact_cnn", 1, 28)
    with pytest.raises(UsageError, match=message) as caught:
        prune_network(network, example, **{"ratio": 0.5, **given})
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def pruned_folder(trained_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained checkpoint pruned by half and recovered. Read only."""
    folder = tmp_path_factory.mktemp("pruned")
    for path in trained_folder.iterdir():
        shutil.copy(path, folder)
    prune_checkpoint(folder / "product.safetensors", 0.5, out=folder / "pruned.safetensors", epochs=8,
                     threads=1)  # fmt: skip
    return folder


@pytest.fixture
def pruned(pruned_folder: Path) -> Artifact:
    """The pruned checkpoint."""
    return read_artifact(pruned_folder / "pruned.safetensors")


def test_pruned_checkpoint_says_what_was_done(pruned: Artifact, trained_folder: Path) -> None:
    parent, evidence = read_artifact(trained_folder / "product.safetensors"), pruned.manifest.evidence
    told = evidence.facts["pruning"]
    assert evidence.status == TRAINED
    assert evidence.parent_sha256 == parent.manifest.payload_sha256
    assert (evidence.metrics[0].samples, evidence.metrics[0].split) == (TEST_IMAGES, "test")
    assert evidence.facts["distillation"]["teacher_sha256"] == parent.manifest.payload_sha256
    how = (told["ratio"], told["importance"], told["steps"], told["recovery_epochs"])
    assert how == (0.5, "magnitude", 1, 8)
    assert told["layers"]["features.stage3.0.0"] == [32, 16]
    assert told["macs"][1] < 0.5 * told["macs"][0]
    assert told["after_recovery"] == evidence.metrics[0].value
    drop, recovered = (told[key] - told["before_recovery"] for key in ("original", "after_recovery"))
    assert recovered > 0.5 * drop > 0


def test_pruned_checkpoint_is_an_ordinary_one(pruned: Artifact) -> None:
    network = load_network(pruned.program())
    example = torch.zeros(1, 1, 28, 28)
    assert count_macs(network, example) == pruned.manifest.evidence.facts["pruning"]["macs"][1]
    assert base_name(pruned.spec.network) == "compact_cnn"
    with Predictor(pruned.path) as predictor:
        assert predictor.verify().holds
        assert predictor.predict(np.zeros((28, 28), np.uint8)).label in pruned.spec.output.labels


@pytest.mark.slow
def test_pruned_checkpoint_exports(pruned: Artifact, small_data: Path, tmp_path: Path) -> None:
    # The network is tiny and briefly trained; what its pruning cost is not what this shows.
    done = export_artifacts(pruned.path, ["onnx", "pte"], data=small_data, out=tmp_path, max_drop=100)
    picture = np.arange(784, dtype=np.uint8).reshape(28, 28)
    with Predictor(pruned.path) as reference:
        expected = reference.predict(picture).scores
    for exported in done:
        with Predictor(exported.path) as predictor:
            assert np.abs(predictor.predict(picture).scores - expected).max() < SAME_ANSWERS


def test_pruning_in_steps_goes_on_from_what_was_recovered(checkpoint: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    out = tmp_path / "out" / "steps.safetensors"
    told = {"importance": "taylor", "teacher": False, "say": lines.append}
    prune_checkpoint(checkpoint, 0.5, out=out, steps=2, epochs=1, threads=1, **told)
    told = read_artifact(out).manifest.evidence.facts["pruning"]
    assert [done["ratio"] for done in told["rounds"]] == [0.25, 0.5]
    assert told["rounds"][0]["macs"] > told["rounds"][1]["macs"] == told["macs"][1]
    assert told["layers"]["features.stage3.0.0"] == [32, 16]
    assert not told["teacher"]
    assert "distillation" not in read_artifact(out).manifest.evidence.facts
    assert sum(line.startswith("step ") for line in lines) == 2


def test_pruning_without_recovery_and_pruning_again(checkpoint: Path, tmp_path: Path) -> None:
    once = prune_checkpoint(checkpoint, 0.25, out=tmp_path / "once.safetensors", epochs=0)
    first = read_artifact(once).manifest.evidence.facts["pruning"]
    assert first["before_recovery"] == first["after_recovery"]
    twice = read_artifact(prune_checkpoint(once, 0.5, out=tmp_path / "twice.safetensors", epochs=0))
    told = twice.manifest.evidence.facts["pruning"]
    assert twice.spec.network.arguments["base"]["name"] == "compact_cnn"
    assert told["macs"][0] == first["macs"][1]
    assert told["earlier"] == first
    with Predictor(twice.path) as predictor:
        assert predictor.verify().holds


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_smallest_weights_become_zero(share: float) -> None:
    network, _ = _network("compact_cnn", 1, 28)
    sparse = zero_smallest(network, share)
    before = torch.cat([layer.weight.detach().flatten().abs() for layer in weighted_layers(network).values()])
    after = torch.cat([layer.weight.detach().flatten() for layer in weighted_layers(sparse).values()])
    assert (after == 0).float().mean().item() == pytest.approx(share, abs=1e-4)
    assert before[after == 0].max() <= before[after != 0].min()
    assert set(sparse.state_dict()) == set(network.state_dict())


def test_two_of_four_keeps_the_larger_ones() -> None:
    layer = nn.Linear(8, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -4.0, 2.0, 3.0, 0.5, 0.1, -0.2, 0.3]]))
    sparse, dense = zero_two_of_four(nn.Sequential(layer, nn.Linear(1, 2)))
    assert sparse[0].weight.tolist() == [[0.0, -4.0, 0.0, 3.0, 0.5, 0.0, 0.0, pytest.approx(0.3)]]
    assert dense == ["1"]


def test_two_of_four_holds_in_every_layer_that_has_fours() -> None:
    network, _ = _network("resnet18", 3, 64)
    sparse, dense = zero_two_of_four(network)
    assert dense == ["conv1"]
    layers = weighted_layers(sparse)
    assert all(holds_two_of_four(layer.weight) for name, layer in layers.items() if name not in dense)
    assert not holds_two_of_four(weighted_layers(network)["layer1.0.conv1"].weight)


@pytest.mark.parametrize("pattern", [0.6, "2:4"])
def test_sparse_checkpoint_tells_the_truth(pattern: float | str, checkpoint: Path, tmp_path: Path) -> None:
    out = sparsify_checkpoint(checkpoint, pattern, out=tmp_path / "sparse.safetensors", epochs=1, threads=1)
    artifact = read_artifact(out)
    told, network = artifact.manifest.evidence.facts["sparsity"], load_network(artifact.program())
    zeros = [layer.weight == 0 for layer in weighted_layers(network).values()]
    share = float(torch.cat([zero.flatten() for zero in zeros]).float().mean())
    assert told["zeros"] == pytest.approx(share)
    assert told["bytes"][0] == told["bytes"][1]
    assert told["compressed_bytes"][1] < 0.75 * told["compressed_bytes"][0]
    assert "no latency" in told["gain"]
    assert artifact.manifest.evidence.parent_sha256 == read_artifact(checkpoint).manifest.payload_sha256
    if pattern == "2:4":
        assert told["dense_layers"] == ["features.stem.0"]
        layers = weighted_layers(network)
        assert all(holds_two_of_four(layers[name].weight) for name in layers if name != "features.stem.0")
        assert "SPARSE_WEIGHTS" in told["gain"]
    else:
        assert share == pytest.approx(0.6, abs=1e-3)
    with Predictor(out) as predictor:
        assert predictor.verify().holds


def test_pruning_what_is_sparse_does_not_claim_its_zeros(checkpoint: Path, tmp_path: Path) -> None:
    sparse = sparsify_checkpoint(checkpoint, 0.5, out=tmp_path / "sparse.safetensors", epochs=0)
    pruned = prune_checkpoint(sparse, 0.25, out=tmp_path / "pruned.safetensors", epochs=0)
    assert "sparsity" not in read_artifact(pruned).manifest.evidence.facts


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c, o: prune_checkpoint(c, 0.5, out=c), "got the checkpoint itself"),
        (lambda c, o: prune_checkpoint(c, 0.5, out=o.with_suffix(".onnx")), "expected .safetensors"),
        (lambda c, o: prune_checkpoint(c, 0.5, out=o, steps=0), "--steps: got 0"),
        (lambda c, o: prune_checkpoint(c, 0.5, out=o, epochs=-1), "--epochs: got -1"),
        (lambda c, o: sparsify_checkpoint(c, "3:4", out=o), "Pattern: got '3:4'"),
        (lambda c, o: sparsify_checkpoint(c, "2:4", out=o, steps=2), "--steps: got 2 with pattern 2:4"),
        (lambda c, o: sparsify_checkpoint(c, 1.5, out=o), "--ratio: got 1.5"),
    ],
    ids=["itself", "suffix", "steps", "epochs", "pattern", "steps of 2:4", "share"],
)
def test_senseless_requests_write_nothing(call: Any, message: str, checkpoint: Path, tmp_path: Path) -> None:
    before = checkpoint.read_bytes()
    with pytest.raises(UsageError, match=message):
        call(checkpoint, tmp_path / "out.safetensors")
    assert checkpoint.read_bytes() == before
    assert not (tmp_path / "out.safetensors").exists()


def test_file_that_is_there_is_kept_unless_told(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"precious")
    with pytest.raises(UsageError, match="a file that is there already"):
        prune_checkpoint(checkpoint, 0.5, out=out, epochs=0)
    assert out.read_bytes() == b"precious"
    prune_checkpoint(checkpoint, 0.5, out=out, epochs=0, overwrite=True)
    assert read_artifact(out).spec.network.name == "pruned"


def test_what_is_no_checkpoint_is_refused(tmp_path: Path, light_artifact: Path) -> None:
    with pytest.raises(ArtifactError, match="nowhere"):
        prune_checkpoint(tmp_path / "nowhere.safetensors", 0.5, out=tmp_path / "out.safetensors")
    with pytest.raises(UsageError, match=r"got a \.onnx artifact"):
        prune_checkpoint(light_artifact, 0.5, out=tmp_path / "out.safetensors")


@pytest.mark.parametrize(
    ("words", "name", "said"),
    [
        (["--ratio", "0.5", "--layer", "features.stem.0=0"], "product_pruned50", "multiply-accumulates"),
        (["--pattern", "l1", "--ratio", "0.5"], "product_sparse50", "bytes, compressed"),
        (["--pattern", "2:4"], "product_sparse2of4", "SPARSE_WEIGHTS"),
    ],
    ids=["channels", "l1", "2:4"],
)
def test_command_writes_and_tells(
    words: list[str], name: str, said: str, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prune", str(checkpoint), "--epochs", "0", *words]) == 0
    out = capsys.readouterr().out
    assert said in out
    assert "accuracy before recovery" in out
    assert "step 1/1" in out
    assert "edgewright export" in out
    assert checkpoint.with_name(f"{name}.safetensors").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--ratio: got none"),
        (["--ratio", "1"], "--ratio: got 1"),
        (["--ratio", "0.5", "--layer", "features.stem.0"], "--layer: got 'features.stem.0'"),
        (["--ratio", "0.5", "--layer", "nowhere=0.5"], "Layer 'nowhere'"),
        (["--ratio", "0.5", "--pattern", "2:4"], "--ratio: got it with pattern 2:4"),
        (
            ["--ratio", "0.5", "--pattern", "l1", "--importance", "taylor"],
            "--importance: got it with pattern l1",
        ),
        (["--pattern", "l1"], "--ratio: got none"),
        (["--ratio", "0.5", "--data", "nowhere"], "nowhere"),
        (["--ratio", "0.5", "--threads", "0"], "--threads"),
    ],
    ids=" ".join,
)
def test_command_refuses_in_one_line(
    words: list[str], message: str, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(checkpoint.parent.iterdir())
    assert main(["prune", str(checkpoint), "--epochs", "1", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(checkpoint.parent.iterdir()) == before


def test_torch_pruning_warns_of_nothing() -> None:
    network, example = _network("compact_cnn", 1, 28)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prune_network(network, example, 0.5)
