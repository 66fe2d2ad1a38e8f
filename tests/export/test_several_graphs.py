"""Artifacts of several graphs: one file, shared weights stored once, the same loop in every runtime."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from export.calibration import CalibrationSet
from export.candidate import lower_candidate
from export.recipe import Recipe
from runtimes import ArtifactError, Dim, SpecError, TensorInfo, UsageError, torch_runtime
from sdk import Predictor
from sdk.artifact import TRAINED, Artifact, Evidence, Manifest, onnx_file, read_artifact, write_artifact
from sdk.artifact.manifest import MANIFEST_VERSION
from sdk.command import main
from sdk.golden import make_golden_samples
from sdk.inputs.arrays import ArraysInput
from sdk.kinds import OUTPUT_KINDS, OutputKind, Sample
from sdk.results import Arrays
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from train.batches import outputs_of_items

WIDTH, STEPS = 64, 5
EXACT = 1e-5
"""Engines add in another order."""


class Roller(nn.Module):
    """`forward` makes a state of an input, `step` rolls it on; both use one large weight."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.mix(x))

    def step(self, state: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.tanh(self.mix(state)) * gain
        return state, state.sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class RolledOutput(OutputKind):
    """Sums of the states of some steps."""

    kind: ClassVar[str] = "rolled"
    bakeable: ClassVar[tuple[str, ...]] = ()
    steps: int

    def run(self, call: Any, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        state, sums = call("main", arrays)["state"], []
        for _ in range(self.steps):
            gain = np.full((len(state), 1), 0.9, np.float32)
            found = call("step", {"state": state, "gain": gain})
            state = found["next"]
            sums.append(found["sum"])
        return {"sums": np.concatenate(sums, axis=1)}

    def activate(self, outputs: Mapping[str, np.ndarray], baked: Collection[str]) -> dict[str, np.ndarray]:
        return dict(outputs)

    def read(self, outputs: Mapping[str, np.ndarray], samples: Sequence[Sample]) -> list[Any]:
        return [
            Arrays({"sums": row}, sample.source) for row, sample in zip(outputs["sums"], samples, strict=True)
        ]


@pytest.fixture(scope="module")
def roller() -> Roller:
    torch.manual_seed(3)
    return Roller().eval()


@pytest.fixture
def checkpoint(roller: Roller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    monkeypatch.setitem(OUTPUT_KINDS, "rolled", f"{__name__}:RolledOutput")
    monkeypatch.setattr(torch_runtime, "build_network", lambda _: Roller())
    rows = Dim(1, None)
    state = (rows, WIDTH)
    spec = Spec(
        version=SPEC_VERSION,
        name="rolled",
        task="own",
        input=ArraysInput((TensorInfo("x", "float32", (WIDTH,)),), True),
        output=RolledOutput(STEPS),
        graphs=(
            Graph("main", (TensorInfo("x", "float32", state),), (TensorInfo("state", "float32", state),)),
            Graph(
                "step",
                (TensorInfo("state", "float32", state), TensorInfo("gain", "float32", (rows, 1))),
                (TensorInfo("next", "float32", state), TensorInfo("sum", "float32", (rows, 1))),
            ),
        ),
        baked=(),
        network=Network("roller", {}),
    )
    golden = make_golden_samples(spec, items(2), lambda encoded: outputs_of_items(roller, spec, encoded))
    evidence = Evidence(TRAINED, "2026-01-01T00:00:00Z", None, {}, 1e-3, None, (), {})
    manifest = Manifest(MANIFEST_VERSION, spec, golden, evidence, "")
    return write_artifact(tmp_path / "rolled.safetensors", save(roller.state_dict()), manifest)


def items(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).normal(size=(count, WIDTH)).astype(np.float32))


def by_hand(roller: Roller, rows: list[np.ndarray]) -> np.ndarray:
    with torch.inference_mode():
        state, sums = roller(torch.from_numpy(np.stack(rows))), []
        for _ in range(STEPS):
            state, total = roller.step(state, torch.tensor(0.9))
            sums.append(total)
        return torch.cat(sums, dim=1).numpy()


def lowered(checkpoint: Artifact, target: str, tmp_path: Path, recipe: Recipe | None = None) -> Artifact:
    return lower_candidate(checkpoint, target, recipe or Recipe(), None, tmp_path, max_batch=4)


@pytest.mark.parametrize("target", ["safetensors", "onnx", "pte"])
def test_predict_runs_the_loop_over_both_graphs(
    checkpoint: Artifact, roller: Roller, tmp_path: Path, target: str
) -> None:
    file = checkpoint if target == "safetensors" else lowered(checkpoint, target, tmp_path)
    with Predictor(file.path, batch_size=2) as predictor:
        found = np.stack([result["sums"] for result in predictor.predict(items(3))])
        assert predictor.verify().worst_difference < EXACT
        raw = predictor.run(
            {"state": np.zeros((1, WIDTH), np.float32), "gain": np.ones((1, 1), np.float32)}, "step"
        )
        with pytest.raises(SpecError, match=r"Graph: got 'encode', expected one of \['main', 'step'\]"):
            predictor.run({}, "encode")
    assert set(raw) == {"next", "sum"}
    assert np.abs(found - by_hand(roller, items(3))).max() < EXACT


def test_onnx_file_is_a_model_and_stores_shared_weights_once(checkpoint: Artifact, tmp_path: Path) -> None:
    file = lowered(checkpoint, "onnx", tmp_path)
    onnx.checker.check_model(str(file.path))
    (main,) = onnxruntime.InferenceSession(str(file.path)).get_outputs()
    assert main.name == "state"
    weight = torch_runtime.load_network(checkpoint.program()).mix.weight.detach().numpy()
    stored = [np.ascontiguousarray(array).tobytes() for array in (weight, weight.T)]
    assert sum(file.path.read_bytes().count(array) for array in stored) == 1
    numbers = sum(file.manifest.evidence.precision["weights"].values())
    assert WIDTH * WIDTH + WIDTH <= numbers < 2 * WIDTH * WIDTH


def test_step_graph_behind_a_cut_file_is_refused(checkpoint: Artifact, tmp_path: Path) -> None:
    file = lowered(checkpoint, "onnx", tmp_path)
    with pytest.raises(ArtifactError, match="Graph 'other': got a file without it"):
        onnx_file.graph_of(file.payload, "other", False)
    file.path.write_bytes(file.path.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match="rolled.onnx"):
        read_artifact(file.path)


@pytest.mark.parametrize("precision", ["int8-dynamic", "int8-weights"])
def test_small_precisions_reach_every_graph(
    checkpoint: Artifact, roller: Roller, tmp_path: Path, precision: str
) -> None:
    file = lowered(checkpoint, "onnx", tmp_path, Recipe(precision))
    whole = lowered(checkpoint, "onnx", tmp_path)
    assert file.size_bytes < whole.size_bytes
    with Predictor(file.path) as predictor:
        (result,) = predictor.predict(items(1))
    # 8 bits of 64 weights each, through five steps.
    assert np.abs(result["sums"] - by_hand(roller, items(1))).max() < 0.3


def test_static_int8_and_fp16_calibrate_every_graph_on_what_it_is_fed(
    checkpoint: Artifact, roller: Roller, tmp_path: Path
) -> None:
    calibration = CalibrationSet("train", items(32), "")
    for precision in ("int8", "fp16"):
        file = lower_candidate(checkpoint, "onnx", Recipe(precision), calibration, tmp_path, max_batch=4)
        nodes = file.manifest.evidence.precision["nodes"]
        assert sum(count for kind in nodes.values() for name, count in kind.items() if name != "fp32") >= 2
        with Predictor(file.path) as predictor:
            (result,) = predictor.predict(items(1))
        assert np.abs(result["sums"] - by_hand(roller, items(1))).max() < 0.3


def test_static_int8_of_several_graphs_is_refused_for_pte(checkpoint: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="int8 for .pte with 2 graphs"):
        lowered(checkpoint, "pte", tmp_path, Recipe("int8"))


def test_trt_holds_a_plan_per_graph(checkpoint: Artifact, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed: no builder here")
    file = lowered(checkpoint, "trt", tmp_path)
    plans = [file.program(name).data for name in ("main", "step")]
    assert all(plans) and plans[0] != plans[1]
    assert file.payload.endswith(plans[1])
    multiplied = file.manifest.evidence.precision["layers"]["MATRIX_MULTIPLY"]
    assert multiplied == {"float32": 2}


def test_build_makes_an_engine_of_every_graph(checkpoint: Artifact, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed: no builder here")
    model = lowered(checkpoint, "onnx", tmp_path)
    assert main(["build", str(model.path), "--no-cache", "--max-batch", "4"]) == 0
    built = read_artifact(tmp_path / "rolled.trt")
    assert built.program("main").data != built.program("step").data
