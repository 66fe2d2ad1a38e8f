"""What compressed artifacts must hold, what they say of their gain, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.gate import NO_GAIN, gain_facts, gain_in_words
from export.latency import LatencyRatio, paired_latency
from export.origin import find_origin
from export.pipeline import export_artifacts
from export.recipe import INT8, MINMAX, PER_TENSOR, Recipe
from runtimes import ProofError, UsageError
from sdk import Predictor, read_artifact
from sdk.artifact import PROVED, write_artifact
from sdk.command import main
from tests.export.conftest import TEST_IMAGES

SMALL_SAMPLE_DROP = 3.0
"""Three hundred pictures tell accuracies apart to about five points; eight bits cost far less."""


@pytest.mark.parametrize("target", ["onnx", "pte"])
def test_export_int8_is_proved_smaller_and_says_how_it_was_made(checkpoint: Path, target: str) -> None:
    (exported,) = export_artifacts(checkpoint, [target], recipe=Recipe(INT8), max_drop=SMALL_SAMPLE_DROP)
    assert exported.path.name == f"product_int8.{target}"
    artifact = read_artifact(exported.path)
    evidence, facts = artifact.manifest.evidence, artifact.manifest.evidence.facts
    source = read_artifact(checkpoint)
    assert evidence.status == PROVED
    assert evidence.parent_sha256 == source.manifest.payload_sha256
    assert evidence.precision["nodes"]["Conv"] == {"int8": 9}
    assert facts["recipe"] == {
        "precision": "int8",
        "calibrator": "mse",
        "granularity": "per-channel",
        "keep": [],
    }
    assert facts["calibration"]["split"] == "train"
    assert facts["calibration"]["samples"] == 512
    assert len(facts["calibration"]["data_sha256"]) == 64
    assert all(low <= high for low, high in facts["calibration"]["ranges"].values())
    assert facts["before"][0]["samples"] == evidence.metrics[0].samples == TEST_IMAGES
    assert facts["before"][0]["low"] < facts["before"][0]["value"] < facts["before"][0]["high"]
    assert facts["size"]["ratio"] < 0.75
    assert "smaller" in facts["gain"]["size"]
    assert facts["latency"]["low"] <= facts["latency"]["ratio"] <= facts["latency"]["high"]
    assert facts["latency"]["runs"] >= 24 * 4
    with Predictor(exported.path) as predictor:
        assert predictor.verify().holds


def test_export_max_drop_zero_on_a_harsh_setting_names_the_worst_layers(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges a tenth of what they should be: everything above saturates."""
    from export.quantization import onnx_int8

    original = onnx_int8.measure_ranges

    def harsh(*args: object, **options: object) -> object:
        found = original(*args, **options)  # type: ignore[arg-type]
        ranges = {name: (low / 10, high / 10) for name, (low, high) in found.ranges.items()}
        return replace(found, ranges=ranges)

    monkeypatch.setattr(onnx_int8, "measure_ranges", harsh)
    before = sorted(checkpoint.parent.iterdir())
    words = ["--precision", "int8", "--granularity", PER_TENSOR, "--calibrator", MINMAX, "--max-drop", "0"]
    assert main(["export", str(checkpoint), "--to", "onnx", *words]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "expected a drop of at most 0 points" in error
    assert "The layers that lose most are " in error
    assert error.count("features.") + error.count("classifier") >= 6, "three layers, named and in --keep"
    assert sorted(checkpoint.parent.iterdir()) == before


def test_export_keep_leaves_a_layer_in_fp32(checkpoint: Path) -> None:
    recipe = Recipe(INT8, keep=("features.stem.0",))
    (exported,) = export_artifacts(checkpoint, ["onnx"], recipe=recipe, max_drop=SMALL_SAMPLE_DROP)
    assert exported.evidence.precision["nodes"]["Conv"] == {"fp32": 1, "int8": 8}
    assert exported.evidence.facts["recipe"]["keep"] == ["features.stem.0"]


def test_export_mixed_keeps_layers_until_the_budget_holds(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One layer's weights are ruined by quantisation; keeping the layer heals it."""
    from export import job

    tried: list[tuple[str, ...]] = []
    original = job.lower_candidate

    def ruined(checkpoint: object, target: str, recipe: Recipe, *rest: object, **options: object) -> object:
        tried.append(recipe.keep)
        return original(checkpoint, target, recipe, *rest, **options)  # type: ignore[arg-type]

    drops = iter([9.0, 9.0, 0.0])
    monkeypatch.setattr(job, "lower_candidate", ruined)
    monkeypatch.setattr(job, "drop_points", lambda *_: next(drops))
    (exported,) = export_artifacts(
        checkpoint, ["onnx"], recipe=Recipe(INT8), mixed=True, max_drop=SMALL_SAMPLE_DROP
    )
    assert [len(keep) for keep in tried[:3]] == [0, 1, 2]
    assert exported.evidence.facts["recipe"]["keep"] == list(tried[2])


@pytest.mark.parametrize(
    ("ratio", "high", "parent_bytes", "words"),
    [
        (0.5, 0.6, 400, "4.0× smaller, 2.0× faster"),
        (1.4, 1.5, 400, f"4.0× smaller, {NO_GAIN} in latency"),
        (0.97, 1.02, 100, f"{NO_GAIN} in size, {NO_GAIN} in latency"),
    ],
    ids=["both", "slower", "within the noise"],
)
def test_gain_is_claimed_only_when_measured(
    checkpoint: Path, ratio: float, high: float, parent_bytes: int, words: str
) -> None:
    artifact = replace(read_artifact(checkpoint), size_bytes=100)
    parent = replace(artifact, size_bytes=parent_bytes)
    latency = LatencyRatio(ratio, ratio - 0.1, high, 1.0, 2.0, 100)
    assert gain_in_words(gain_facts(artifact, parent, latency)) == words


def test_paired_latency_of_an_artifact_with_itself_is_about_one(checkpoint: Path, small_data: Path) -> None:
    (exported,) = export_artifacts(checkpoint, ["onnx"])
    found = paired_latency(exported.path, exported.path, [np.zeros((28, 28), np.uint8)], rounds=8)
    assert found.low <= found.ratio <= found.high
    # Not a test of speed: the same file twice cannot differ by a factor, whatever else the machine does.
    assert 0.2 < found.ratio < 5


def test_find_origin_looks_beside_a_pruned_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    source = read_artifact(checkpoint)
    evidence = replace(
        source.manifest.evidence,
        parent_sha256=source.manifest.payload_sha256,
        facts={"pruning": {"ratio": 0.5}},
    )
    manifest = replace(source.manifest, evidence=evidence)
    pruned = write_artifact(checkpoint.with_name("product_pruned50.safetensors"), source.payload, manifest)
    assert find_origin(pruned, None).path == checkpoint.resolve()
    assert find_origin(source, None).path == checkpoint
    alone = tmp_path / "elsewhere" / "deep"
    alone.mkdir(parents=True)
    moved = write_artifact(alone / "product_pruned50.safetensors", source.payload, manifest)
    with pytest.raises(UsageError, match=r"whose parent is not beside it.*--parent"):
        find_origin(moved, None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prune", "1.5"], "Option --prune: got 1.5"),
        (["--mixed"], "Option --mixed: got it with --precision fp32"),
        (["--keep", "features.stem.0"], "Option --keep: got it with --precision fp32"),
    ],
    ids=["prune", "mixed", "keep"],
)
def test_export_command_refuses_options_that_make_no_sense(
    checkpoint: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(checkpoint), "--to", "onnx", *words]) == 2
    assert message in capsys.readouterr().err


def test_sensitivity_command_ranks_layers_and_draws_them(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "analysis"
    assert main(["sensitivity", str(checkpoint), "--samples", "100", "--out", str(out), "--json"]) == 0
    effects = json.loads(capsys.readouterr().out)
    assert effects == json.loads((out / "sensitivity.json").read_text())
    assert len(effects) == 10
    assert [e["drop_points"] for e in effects] == sorted((e["drop_points"] for e in effects), reverse=True)
    assert all(0 < e["output_error"] < 0.2 for e in effects)
    assert (out / "sensitivity.png").read_bytes().startswith(b"\x89PNG")


def test_sensitivity_of_pruning_names_a_drop_for_every_layer_that_has_channels_to_give(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sensitivity", str(checkpoint), "--of", "pruning", "--samples", "100", "--json"]) == 0
    effects = json.loads(capsys.readouterr().out)
    assert "classifier" not in {e["layer"] for e in effects}
    assert max(e["output_error"] for e in effects) > 0.01


def test_int8_that_is_past_the_budget_is_refused_in_python_too(checkpoint: Path) -> None:
    with pytest.raises(ProofError, match="expected a drop of at most -100 points"):
        export_artifacts(checkpoint, ["onnx"], recipe=Recipe(INT8), max_drop=-100)
