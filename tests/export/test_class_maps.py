"""Class activation maps as a graph output: they add up to the scores, and lie on the picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from export.bake import bake
from export.class_maps import UprightMaps, with_class_maps
from export.pipeline import export_artifacts
from export.recipe import Recipe
from runtimes import Dim, TensorInfo, UsageError
from runtimes.torch_runtime import build_network
from sdk import Predictor
from sdk.command import main
from sdk.spec import Graph, Network, Spec
from tests.sdk.conftest import LABELS, image_input, make_spec

SIDE_PX = 64
# The same sums in another order, in 32 bit.
ROUNDING = 1e-4


def _spec(
    network: str, views: tuple[str, ...] = ("identity",), size_wh: tuple[int, int] = (SIDE_PX, 48)
) -> Spec:
    graph = Graph(
        "main",
        (TensorInfo("image", "float32", (Dim(), 3, size_wh[1], size_wh[0])),),
        (TensorInfo("scores", "float32", (Dim(), len(LABELS))),),
    )
    return make_spec(
        input=image_input(size_wh=size_wh, resize="letterbox", views=views),
        graphs=(graph,),
        baked=(),
        network=Network(network, {"channels": 3, "classes": len(LABELS)}),
    )


def _network(spec: Spec) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network({"name": spec.network.name, "arguments": spec.network.arguments})
    return network.eval()


@pytest.mark.parametrize("name", ["compact_cnn", "resnet18", "efficientnet_b0"])
def test_maps_add_up_to_the_scores(name: str) -> None:
    spec = _spec(name)
    network = _network(spec)
    image = torch.randn(2, 3, 48, SIDE_PX)
    with torch.inference_mode():
        before = network(image)
        mapped, new = with_class_maps(network, spec)
        scores, maps = mapped(image)
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)][-1]
    assert torch.equal(scores, before)
    assert torch.allclose(maps.mean(dim=(2, 3)) + linear.bias, scores, atol=ROUNDING)
    assert [info.name for info in new.graph().outputs] == ["scores", "maps"]
    assert new.graph().outputs[1].shape[1:] == maps.shape[1:]


@pytest.mark.parametrize("name", ["mobilenet_v3_small"])
def test_other_head_is_refused(name: str) -> None:
    spec = _spec(name)
    with pytest.raises(UsageError, match=f"Option --class-maps: got {name}, whose head is more than that"):
        with_class_maps(_network(spec), spec)


def test_network_without_pooling_is_refused() -> None:
    spec = _spec("compact_cnn", size_wh=(8, 8))
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, len(LABELS)))
    with pytest.raises(UsageError, match="has no such head"):
        with_class_maps(network, spec)


def test_maps_of_mirrored_views_are_turned_back() -> None:
    maps = torch.arange(12.0).reshape(1, 1, 3, 4)
    seen = torch.cat([maps, maps.flip(3), maps.flip(2), maps.flip(2, 3)])
    upright = UprightMaps(("identity", "mirror", "flip", "turn"))(seen)
    assert torch.equal(upright, maps.expand(4, -1, -1, -1))


def test_baked_graph_averages_upright_maps_of_a_batch() -> None:
    views = ("identity", "mirror")
    spec = _spec("compact_cnn", views)
    mapped, with_maps = with_class_maps(_network(spec), spec)
    module, baked = bake(mapped, with_maps)
    pictures = torch.randint(0, 255, (3, 48, SIDE_PX, 3), dtype=torch.uint8)
    with torch.inference_mode():
        scores, maps = module(pictures)
        _, mirrored = module(pictures.flip(2))
    assert scores.shape == (3, 3) and torch.allclose(scores.sum(dim=1), torch.ones(3))
    # A picture and its mirror image are shown the same two views: only the maps' direction differs.
    assert torch.allclose(maps, mirrored.flip(3), atol=ROUNDING)
    assert not torch.allclose(maps, mirrored, atol=ROUNDING)
    assert [info.name for info in baked.graph().outputs] == ["scores", "maps"]


@pytest.fixture(scope="module")
def mapped(trained_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained checkpoint as `.onnx` with maps."""
    out = tmp_path_factory.mktemp("mapped")
    (done,) = export_artifacts(
        trained_folder / "product.safetensors", ["onnx"], recipe=Recipe(class_maps=True), out=out
    )
    assert done.evidence.facts["recipe"]["class_maps"] is True
    return done.path


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Pictures of another shape than the network's square."""
    generator = np.random.default_rng(2)
    return [generator.integers(0, 255, (20, 40), np.uint8) for _ in range(3)]


def test_deployed_maps_show_what_grad_cam_shows(
    mapped: Path, trained_folder: Path, pictures: list[np.ndarray]
) -> None:
    """With this head both are the same maps, up to a factor (Selvaraju et al. 2017, appendix A)."""
    with Predictor(mapped) as deployed, Predictor(trained_folder / "product.safetensors") as checkpoint:
        for picture in pictures:
            one, other = deployed.explain(picture), checkpoint.explain(picture)
            assert (one.method, other.method) == ("class activation map", "Grad-CAM")
            assert one.label == other.label == checkpoint.predict(picture).label
            assert one.score == pytest.approx(other.score, abs=ROUNDING)
            assert np.allclose(one.heatmap, other.heatmap, atol=1e-3)
            assert one.heatmap.shape == picture.shape and one.heatmap.max() > 0.5


def test_another_label_can_be_asked_for(mapped: Path, pictures: list[np.ndarray]) -> None:
    with Predictor(mapped) as predictor:
        answer = predictor.predict(pictures[0])
        other = answer.top[1].label
        found = predictor.explain(pictures[0], other)
        assert (found.label, found.answer) == (other, answer.label)
        assert found.score == pytest.approx(answer.top[1].score)
        with pytest.raises(UsageError, match="Label: got 'cloud'"):
            predictor.explain(pictures[0], "cloud")


def test_predicting_is_as_without_maps(mapped: Path, checkpoint: Path, pictures: list[np.ndarray]) -> None:
    with Predictor(mapped) as one, Predictor(checkpoint) as other:
        assert one.verify().holds
        for a, b in zip(one.predict(pictures), other.predict(pictures), strict=True):
            assert np.allclose(a.scores, b.scores, atol=ROUNDING)


def test_artifact_without_maps_says_how_to_get_them(light_artifact: Path) -> None:
    with Predictor(light_artifact) as predictor, pytest.raises(UsageError, match="again with --class-maps"):
        predictor.explain(np.zeros((28, 28), np.uint8))


def test_overlay_shows_the_heat_where_it_belongs(mapped: Path, pictures: list[np.ndarray]) -> None:
    with Predictor(mapped) as predictor:
        found = predictor.explain(pictures[0])
    heat = np.zeros_like(found.heatmap)
    heat[:, 30:] = 1.0
    grey = Image.new("L", (40, 20), 100)
    drawn = np.asarray(replace(found, heatmap=heat, source=grey).plot()).astype(int)
    plain, under = drawn[16:176, 16:336], drawn[16:176, 352:672]
    assert np.array_equal(plain[:, :200], under[:, :200])  # nothing speaks for it: the picture stays
    assert np.abs(plain[:, 260:] - under[:, 260:]).max() > 60
    assert found.to_dict()["peak_xy"] == list(found.peak_xy or ())


def test_nothing_that_speaks_for_a_label_is_said_so(mapped: Path, pictures: list[np.ndarray]) -> None:
    with Predictor(mapped) as predictor:
        found = predictor.explain(pictures[0])
    silent = replace(found, heatmap=np.zeros_like(found.heatmap))
    assert silent.peak_xy is None and "nothing in the picture speaks for it" in silent.summary()
    assert silent.plot().mode == "RGB"


def test_explain_command_writes_overlays(
    mapped: Path, pictures: list[np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "a.png"
    Image.fromarray(pictures[0]).save(picture)
    words = ["predict", str(mapped), str(picture), "--explain"]
    assert main([*words, "--out", str(tmp_path / "why")]) == 0
    assert "by class activation map" in capsys.readouterr().out
    with Image.open(tmp_path / "why" / "a_labelled.png") as overlay:
        assert overlay.mode == "RGB"
    assert main(words) == 2
    assert "--out DIR beside it" in capsys.readouterr().err


def test_explain_command_refuses_videos(light_artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(light_artifact), "film.mp4", "--explain"]) == 2
    assert "Option --explain: got it for a video" in capsys.readouterr().err
