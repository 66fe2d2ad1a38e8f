"""INT8 for ExecuTorch: what the graph computes in, what it costs, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from export.bake import bake
from export.calibration import CalibrationSet
from export.lowering import Lowered, Request
from export.lowerings.executorch_lowering import ExecuTorchLowering, quiet_lowering
from export.quantization.executorch_routes import Route, take_route
from export.recipe import Recipe
from runtimes import Program, ProofError, UsageError
from runtimes.executorch_runtime import ExecuTorchRuntime
from runtimes.torch_runtime import load_network
from sdk.artifact import read_artifact
from tests.export.conftest import TEST_IMAGES, _read

MAX_BATCH = 10
INT8 = Recipe("int8", calibrator="minmax")
KEPT = "features.stage2.0.0"
# Rounding 8 layers to 8 bits moves some probabilities near a tie; whole answers rarely change.
LEAST_AGREEMENT = 0.95

SCALES_BYTES = 9_000
"""Scales, and the engine's table of them: they grow with the number of layers, not with that of weights."""

Lower = Callable[..., Lowered]


def calibration(data: Path, count: int = 64) -> CalibrationSet:
    return CalibrationSet("train", list(_images(data, "train")[:count]), "of-the-items")


def _images(data: Path, stem: str) -> np.ndarray:
    return _read(data / f"{stem}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)


@pytest.fixture(scope="module")
def lower(trained_folder: Path, small_data: Path) -> Lower:
    """Lowers the trained checkpoint by a recipe, each recipe once."""
    artifact = read_artifact(trained_folder / "product.safetensors")
    done: dict[tuple[Recipe, int], Lowered] = {}

    def by(recipe: Recipe, weight_bits: int = 8) -> Lowered:
        if (recipe, weight_bits) not in done:
            request = Request(recipe, MAX_BATCH, 100, calibration(small_data))
            network = load_network(artifact.program())
            lowering = ExecuTorchLowering(weight_bits)
            done[recipe, weight_bits] = lowering.lower(network, artifact.spec, request)
        return done[recipe, weight_bits]

    return by


@pytest.fixture(scope="module")
def route(trained_folder: Path, small_data: Path) -> Callable[[Recipe], Route]:
    """Quantises the trained checkpoint by a recipe, without compiling it."""
    artifact = read_artifact(trained_folder / "product.safetensors")

    def by(recipe: Recipe) -> Route:
        module, spec = bake(load_network(artifact.program()), artifact.spec)
        with quiet_lowering():
            return take_route(module, spec, Request(recipe, MAX_BATCH, 100, calibration(small_data)))

    return by


def _answers(lowered: Lowered, data: Path) -> np.ndarray:
    images = _images(data, "t10k")[..., None]
    with ExecuTorchRuntime(Program(lowered.payload)) as runtime:
        parts = [
            runtime.run({"input_0": images[at : at + MAX_BATCH].copy()})["output_0"]
            for at in range(0, TEST_IMAGES, MAX_BATCH)
        ]
    return np.concatenate(parts).argmax(axis=1)


def test_int8_answers_as_fp32_does(lower: Lower, small_data: Path) -> None:
    agreement = np.mean(_answers(lower(INT8), small_data) == _answers(lower(Recipe()), small_data))
    assert agreement >= LEAST_AGREEMENT


def test_int8_precision_is_read_back_from_the_graph(lower: Lower) -> None:
    precision = lower(INT8).precision
    assert precision["requested"] == "int8"
    assert precision["nodes"] == {"Conv": {"int8": 9}, "Linear": {"int8": 1}}
    assert precision["fp32_layers"] == precision["kept"] == []
    assert precision["weights"]["int8"] > 20 * precision["weights"]["float32"]


def test_int8_keeps_the_layers_it_was_told_to(lower: Lower, route: Callable[[Recipe], Route]) -> None:
    precision = route(Recipe("int8", keep=(KEPT,))).precision
    assert precision["nodes"]["Conv"] == {"int8": 8, "float32": 1}
    assert precision["fp32_layers"] == precision["kept"] == [KEPT]
    assert precision["weights"]["int8"] < lower(INT8).precision["weights"]["int8"]


def test_int8_file_shrinks_by_three_bytes_a_weight(lower: Lower) -> None:
    small, large = lower(INT8), lower(Recipe())
    gain = len(large.payload) - len(small.payload)
    assert gain > 3 * small.precision["weights"]["int8"] - SCALES_BYTES


def test_first_convolution_keeps_its_digits(route: Callable[[Recipe], Route]) -> None:
    """It has absorbed the division by 255, and a floor under the scale would round it to a few steps."""
    graph = route(INT8).program
    weight = next(
        tensor for name, tensor in graph.constants.items() | graph.state_dict.items()
        if tensor.dtype == torch.int8 and tensor.shape[1:] == (1, 5, 5)
    )  # fmt: skip
    assert (weight.abs().amax(dim=(1, 2, 3)) == 127).all()


def test_int8_calibration_is_recorded(lower: Lower) -> None:
    record = lower(INT8).calibration
    assert {name: record[name] for name in ("method", "split", "samples", "data_sha256")} == {
        "method": "minmax", "split": "train", "samples": 64, "data_sha256": "of-the-items",
    }  # fmt: skip
    assert record["ranges"]["features.stem.2"][0] == 0.0, "behind a ReLU nothing is negative"
    assert all(low <= 0 <= high and low < high for low, high in record["ranges"].values())


@pytest.mark.slow
def test_mse_ranges_are_no_wider_than_extremes(lower: Lower, route: Callable[[Recipe], Route]) -> None:
    extremes = lower(INT8).calibration["ranges"]
    chosen = route(Recipe("int8", calibrator="mse")).calibration["ranges"]
    assert chosen.keys() == extremes.keys()
    widths = {name: (chosen[name][1] - chosen[name][0], high - low) for name, (low, high) in extremes.items()}
    # A histogram's edges lie up to a bin (1 in 2048) outside the values.
    assert all(mse <= 1.01 * minmax for mse, minmax in widths.values())
    assert any(mse < 0.99 * minmax for mse, minmax in widths.values())


@pytest.mark.slow
def test_four_bit_weights_cost_accuracy_but_not_bytes(lower: Lower, small_data: Path) -> None:
    harsh = Recipe("int8", granularity="per-tensor")
    reference = _answers(lower(Recipe()), small_data)
    eight, four = (
        np.mean(_answers(lowered, small_data) == reference) for lowered in (lower(INT8), lower(harsh, 4))
    )
    assert four < eight
    assert lower(harsh, 4).precision["nodes"] == lower(INT8).precision["nodes"]


@pytest.mark.parametrize("precision", ["int8-dynamic", "int4-weights"])
def test_linear_precisions_touch_linear_layers_alone(
    trained_folder: Path, small_data: Path, precision: str, lower: Lower
) -> None:
    lowered = lower(Recipe(precision))
    kind = "int4" if precision == "int4-weights" else "int8"
    assert lowered.precision["nodes"]["Linear"] == {kind: 1}
    assert lowered.precision["weights"][kind] == 320, "32 inputs, 10 classes"
    assert lowered.calibration == {}
    agreement = np.mean(_answers(lowered, small_data) == _answers(lower(Recipe()), small_data))
    assert agreement >= LEAST_AGREEMENT


def _refused(
    trained_folder: Path, data: Path, recipe: Recipe, network: torch.nn.Module | None = None
) -> None:
    artifact = read_artifact(trained_folder / "product.safetensors")
    network = network if network is not None else load_network(artifact.program())
    ExecuTorchLowering().lower(network, artifact.spec, Request(recipe, MAX_BATCH, 100, calibration(data)))


@pytest.mark.parametrize("calibrator", ["percentile", "entropy"])
def test_calibrator_that_torchao_has_not_is_refused(
    trained_folder: Path, small_data: Path, calibrator: str
) -> None:
    with pytest.raises(UsageError, match=f"got {calibrator} for .pte, expected minmax or mse"):
        _refused(trained_folder, small_data, Recipe("int8", calibrator=calibrator))


def test_weight_only_int8_is_refused() -> None:
    with pytest.raises(UsageError, match=r"got int8-weights for \.pte, expected one of fp32, int8,"):
        ExecuTorchLowering().check("int8-weights")


@pytest.mark.parametrize("precision", ["int8-dynamic", "int4-weights"])
def test_network_without_linear_layers_is_refused(
    trained_folder: Path, small_data: Path, precision: str
) -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 10, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    with pytest.raises(UsageError, match=f"got {precision} for a network without linear layers"):
        _refused(trained_folder, small_data, Recipe(precision), network.eval())


def test_nan_while_calibrating_names_the_layer(trained_folder: Path, small_data: Path) -> None:
    artifact = read_artifact(trained_folder / "product.safetensors")
    network = load_network(artifact.program())
    with torch.no_grad():
        network.get_parameter("features.stage2.0.1.bias")[3] = float("nan")
    with pytest.raises(ProofError, match=r"Calibration, layer 'features\.stage2\.0\.\d': got NaN"):
        _refused(trained_folder, small_data, Recipe("int8"), network)
