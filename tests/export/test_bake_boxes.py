"""Boxes in the graph: decoding as in numpy, and suppression as on the host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.bake import bake
from export.bakers.boxes import CandidateHead, GridHead
from export.box_suppression import add_suppression, require_suppressible
from export.candidate import lower_candidate
from export.lowering import Request, lowering_for
from export.recipe import Recipe
from runtimes import Program, SpecError, UsageError, open_runtime
from runtimes.onnx_runtime import OnnxRuntime
from sdk import Predictor
from sdk.artifact import read_artifact, write_artifact
from sdk.golden import make_golden_samples
from sdk.outputs.boxes import CandidateBoxesOutput, FinalBoxesOutput
from sdk.spec import Spec
from tests.export.box_networks import declare_tiny_grid, detector_spec, pictures, tiny_grid
from tests.sdk.box_subjects import LABELS, grid_output
from tests.sdk.conftest import make_manifest, make_spec

# The same formulas in another order of float32 operations, behind a network whose logits reach 30.
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return tiny_grid().eval()


@pytest.fixture(scope="module")
def lowered(network: torch.nn.Module) -> tuple[bytes, Spec]:
    """Decoding baked, suppression not."""
    done = lowering_for("onnx").lower(network, detector_spec(), Request(Recipe(), 8, 0))
    return done.payload, done.spec


def maps_of(network: torch.nn.Module, spec: Spec, images: list[np.ndarray]) -> dict[str, np.ndarray]:
    fed = spec.input.batch([spec.input.load(image) for image in images], ())["image"]
    with torch.no_grad():
        return {f"map_{index}": found.numpy() for index, found in enumerate(network(torch.from_numpy(fed)))}


def run(payload: bytes, spec: Spec, images: list[np.ndarray]) -> dict[str, np.ndarray]:
    fed = spec.input.batch([spec.input.load(image) for image in images], spec.baked)
    with open_runtime(".onnx", Program(payload), threads=1) as runtime:
        assert isinstance(runtime, OnnxRuntime)
        return runtime.run(fed)


def test_baked_decoding_is_numpys(network: torch.nn.Module) -> None:
    module, baked = bake(network, detector_spec())
    assert isinstance(module.head, GridHead)
    assert baked.baked[-1] == "decode"
    assert [(info.name, info.shape[1:]) for info in baked.graph().outputs] == [
        ("boxes", (80, 4)),
        ("scores", (80, 3)),
    ]
    maps = maps_of(network, detector_spec(), pictures(3))
    wanted = grid_output().activate(maps, ())
    with torch.no_grad():
        boxes, scores = module.head([torch.from_numpy(array) for array in maps.values()])
    np.testing.assert_allclose(boxes.numpy(), wanted["boxes"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scores.numpy(), wanted["scores"], rtol=1e-5, atol=1e-7)
    assert wanted["scores"].max() > 0.5, "a detector that sees nothing would prove nothing"


def test_lowered_onnx_gives_the_boxes_of_the_network(
    network: torch.nn.Module, lowered: tuple[bytes, Spec]
) -> None:
    payload, spec = lowered
    found = run(payload, spec, pictures(3))
    wanted = grid_output().activate(maps_of(network, detector_spec(), pictures(3)), ())
    assert spec.output.difference(found, wanted) < TOLERANCE


@pytest.mark.parametrize("layout", ["values_first", "values_last"])
@pytest.mark.parametrize("objectness", [False, True])
def test_baked_candidates_are_numpys(layout: str, objectness: bool) -> None:
    output = CandidateBoxesOutput(
        LABELS, 0.25, 0.01, 0.5, 100, False, "output0", layout, objectness, "cxcywh", (128.0, 64.0)
    )
    values = np.random.default_rng(0).random((2, 8 if objectness else 7, 9)).astype(np.float32)
    if layout == "values_last":
        values = np.ascontiguousarray(values.transpose(0, 2, 1))
    wanted = output.activate({"output0": values}, ())
    boxes, scores = CandidateHead(output)(torch.from_numpy(values))
    np.testing.assert_allclose(boxes.numpy(), wanted["boxes"], atol=1e-7)
    np.testing.assert_allclose(scores.numpy(), wanted["scores"], atol=1e-7)


def test_bake_refuses_anchors_that_do_not_divide_the_channels(network: torch.nn.Module) -> None:
    three = (((8.0, 8.0),) * 3, ((8.0, 8.0),) * 2)
    with pytest.raises(SpecError, match="Output 'map_0': got 16 channels for 3 anchors, expected 24"):
        bake(network, detector_spec(grid_output(anchors_wh=three)))


@pytest.mark.parametrize("multi_label", [False, True], ids=["best label", "several labels"])
@pytest.mark.parametrize("max_detections", [4, 100])
@pytest.mark.parametrize("iou_threshold", [0.2, 0.6])
def test_suppression_in_the_graph_keeps_what_the_host_keeps(
    lowered: tuple[bytes, Spec], multi_label: bool, max_detections: int, iou_threshold: float
) -> None:
    output = grid_output(
        multi_label=multi_label, max_detections=max_detections, iou_threshold=iou_threshold, score_floor=0.05
    )
    payload, spec = lowered[0], replace(lowered[1], output=output)
    final_payload, final_spec = add_suppression(payload, spec)
    onnx.checker.check_model(onnx.load_from_string(final_payload), full_check=True)
    found = run(final_payload, final_spec, pictures(3))
    assert {name: (array.shape, array.dtype.name) for name, array in found.items()} == {
        "boxes": ((3, max_detections, 4), "float32"),
        "scores": ((3, max_detections), "float32"),
        "classes": ((3, max_detections), "int64"),
    }
    activated = run(payload, spec, pictures(3))
    wanted = output.seen_as(final_spec.output, activated)
    assert final_spec.output.difference(found, wanted) == 0.0
    kept = (wanted["scores"] > 0).sum(axis=1)
    assert (kept > 2).all()
    assert (kept < (activated["scores"] >= output.score_floor).sum(axis=(1, 2))).all()
    samples = [spec.input.load(picture) for picture in pictures(3)]
    assert final_spec.output.read(found, samples) == output.read(activated, samples)


def test_suppressed_spec_bakes_the_input_alone(lowered: tuple[bytes, Spec]) -> None:
    spec = add_suppression(*lowered)[1]
    assert isinstance(spec.output, FinalBoxesOutput)
    assert spec.baked == spec.input.bakeable
    assert Spec.from_json(spec.to_json()) == spec


def write_checkpoint(path: Path, network: torch.nn.Module) -> None:
    from safetensors.torch import save

    spec, payload = detector_spec(), save(network.state_dict())
    write_artifact(path, payload, make_manifest(spec))
    with Predictor(path) as predictor:
        golden = make_golden_samples(spec, pictures(2, seed=5), predictor.outputs)
    write_artifact(path, payload, make_manifest(spec, golden, tolerance=TOLERANCE))


def test_candidate_with_suppression_answers_as_the_checkpoint_and_verifies(
    network: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare_tiny_grid(monkeypatch)
    write_checkpoint(tmp_path / "tiny.safetensors", network)
    checkpoint = read_artifact(tmp_path / "tiny.safetensors")
    candidate = lower_candidate(
        checkpoint, "onnx", Recipe(nms="graph"), None, tmp_path, max_batch=8, tolerance=TOLERANCE
    )
    assert candidate.path.name == "tiny_nms.onnx"
    assert candidate.manifest.evidence.facts["recipe"]["nms"] == "graph"
    with Predictor(checkpoint.path) as one, Predictor(candidate.path, threads=1) as other:
        expected, found = one.predict(pictures(3)), other.predict(pictures(3))
        verification = other.verify()
    assert verification.samples == 2
    assert verification.holds
    assert [result.labels for result in found] == [result.labels for result in expected]
    assert min(map(len, expected)) > 1
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.boxes_xyxy, theirs.boxes_xyxy, atol=0.01)  # of 160 pixels


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (("pte",), "got graph for pte, expected --to onnx alone. Leave it out, .* ExecuTorch has no kernel"),
        (("onnx", "trt"), "got graph for trt, .* nothing that implements NonMaxSuppression"),
        (("torch2trt",), "got graph for torch2trt"),
    ],
    ids=["pte", "trt", "torch2trt"],
)
def test_suppression_in_the_graph_is_for_onnx_alone(targets: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        require_suppressible(targets, detector_spec())


def test_suppression_in_the_graph_needs_boxes() -> None:
    with pytest.raises(UsageError, match="got graph for outputs of kind 'classification'"):
        require_suppressible(["onnx"], make_spec())


def test_recipe_of_suppression_in_the_graph() -> None:
    assert Recipe("int8", nms="graph").label == "_int8_nms"
    assert "nms" not in Recipe().to_json()
    with pytest.raises(UsageError, match="Option --nms: got 'device', expected one of host, graph"):
        Recipe(nms="device")


@pytest.mark.slow
def test_decoding_lowers_to_executorch(network: torch.nn.Module, tmp_path: Path) -> None:
    spec = detector_spec()
    done = lowering_for("pte").lower(network, spec, Request(Recipe(), 2, 4096))
    fed = done.spec.input.batch([spec.input.load(image) for image in pictures(2)], done.spec.baked)
    with open_runtime(".pte", Program(done.payload, outputs=done.spec.graph().outputs)) as runtime:
        found = dict(zip(("boxes", "scores"), runtime.run(_named(runtime, fed)).values(), strict=True))
    wanted = grid_output().activate(maps_of(network, spec, pictures(2)), ())
    assert spec.output.difference(found, wanted) < TOLERANCE


def _named(runtime: object, fed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    (info,) = runtime.inputs  # type: ignore[attr-defined]
    return {info.name: fed["image"]}
