"""Baking changes where the work is done, never the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from export.bake import bake
from runtimes import Dim, SpecError, TensorInfo
from sdk.inputs.image import ImageInput
from sdk.outputs.classification import ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from tests.sdk.conftest import image_input

# Folding multiplies weights by scale/std in float64 and rounds once; sums of a few hundred float32
# products differ in their last bits. Probabilities are below 1, so this is absolute.
TOLERANCE = 2e-6
PIXELS = [np.random.default_rng(i).integers(0, 256, (9, 9, 3), dtype=np.uint8) for i in range(3)]


def spec_for(image: ImageInput, activation: str = "softmax") -> Spec:
    width, height = image.size_wh
    graph = Graph(
        "main",
        (TensorInfo("image", "float32", (Dim(), image.channel_count, height, width)),),
        (TensorInfo("scores", "float32", (Dim(), 4)),),
    )
    output = ClassificationOutput(("a", "b", "c", "d"), activation, 3, 1.0)
    return Spec(SPEC_VERSION, "x", "product", image, output, (graph,), (), Network("x", {}))


def head(channels: int) -> list[nn.Module]:
    return [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 4)]


class Residual(nn.Module):
    """Reads its input twice, so nothing may be folded."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.head = nn.Sequential(*head(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.convolution(x) + x)


class SharedWeight(nn.Module):
    """Uses the first convolution's weight again, so it may not be scaled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.head = nn.Sequential(*head(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.convolution(torch.tanh(self.convolution(x))))


NETWORKS: dict[str, tuple[Callable[[int], nn.Module], bool, bool]] = {
    # name: (builder, factor is folded, shift is folded)
    "no padding": (lambda c: nn.Sequential(nn.Conv2d(c, 8, 3), *head(8)), True, True),
    "zero padding": (lambda c: nn.Sequential(nn.Conv2d(c, 8, 3, padding=1), *head(8)), True, False),
    "no bias": (lambda c: nn.Sequential(nn.Conv2d(c, 8, 3, bias=False), *head(8)), True, False),
    "stride": (lambda c: nn.Sequential(nn.Conv2d(c, 8, 3, 2, 1), *head(8)), True, False),
    "reflected padding": (
        lambda c: nn.Sequential(nn.Conv2d(c, 8, 3, padding=1, padding_mode="reflect"), *head(8)),
        False,
        False,
    ),
    "depthwise": (lambda c: nn.Sequential(nn.Conv2d(c, c, 3, groups=c), *head(c)), None, None),  # type: ignore[dict-item]
    "batch norm first": (
        lambda c: nn.Sequential(nn.BatchNorm2d(c), nn.Conv2d(c, 8, 3), *head(8)),
        False,
        False,
    ),
    "linear": (lambda c: nn.Sequential(nn.Flatten(), nn.Linear(c * 81, 4)), False, False),
    "input read twice": (Residual, False, False),
    "weight used twice": (SharedWeight, False, False),
}
IMAGES = {
    "rgb": image_input(size_wh=(9, 9)),
    "bgr": image_input(channels="bgr", size_wh=(9, 9)),
    "grey": image_input(channels="grey", size_wh=(9, 9), mean=(0.3,), std=(0.2,)),
    "vgg": image_input(
        channels="bgr", size_wh=(9, 9), scale=1.0, mean=(104.0, 117.0, 124.0), std=(1.0, 1.0, 1.0)
    ),
    "no mean": image_input(size_wh=(9, 9), mean=(0.0, 0.0, 0.0)),
    "four views": image_input(size_wh=(9, 9), views=("identity", "mirror", "flip", "turn")),
}


def host_answer(network: nn.Module, spec: Spec) -> np.ndarray:
    samples = [spec.input.load(pixels) for pixels in PIXELS]
    x = torch.from_numpy(spec.input.batch(samples, ())["image"])
    with torch.no_grad():
        return spec.activated({"scores": network(x).numpy()})["scores"]


def graph_answer(module: nn.Module, spec: Spec) -> np.ndarray:
    samples = [spec.input.load(pixels) for pixels in PIXELS]
    x = torch.from_numpy(spec.input.batch(samples, spec.baked)["image"])
    with torch.no_grad():
        return spec.activated({"scores": module(x).numpy()})["scores"]


@pytest.mark.parametrize("image", sorted(IMAGES))
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_bake_gives_the_same_answer(name: str, image: str) -> None:
    torch.manual_seed(0)
    builder, factor_folded, _ = NETWORKS[name]
    network = builder(IMAGES[image].channel_count).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    spec = spec_for(IMAGES[image])
    module, baked_spec = bake(network, spec)
    np.testing.assert_allclose(
        graph_answer(module, baked_spec), host_answer(network, spec), atol=TOLERANCE, rtol=0
    )
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    if factor_folded is not None:
        assert (module.prelude.factor is None) == factor_folded


@pytest.mark.parametrize(
    ("name", "shift_folded"), [(name, row[2]) for name, row in NETWORKS.items() if row[2] is not None]
)
def test_bake_moves_the_mean_into_a_bias_only_where_exact(name: str, shift_folded: bool) -> None:
    module, _ = bake(NETWORKS[name][0](3).eval(), spec_for(IMAGES["rgb"]))
    assert (module.prelude.shift is None) == shift_folded


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_bake_divides_by_the_temperature(activation: str) -> None:
    network = NETWORKS["no padding"][0](3).eval()
    plain = spec_for(IMAGES["rgb"], activation)
    warm = replace(plain, output=replace(plain.output, temperature=2.5))
    module, baked_spec = bake(network, warm)
    found = graph_answer(module, baked_spec)
    np.testing.assert_allclose(found, host_answer(network, warm), atol=TOLERANCE, rtol=0)
    assert np.abs(found - host_answer(network, plain)).max() > 100 * TOLERANCE


def test_bake_without_fold_leaves_the_network_alone() -> None:
    network = NETWORKS["no padding"][0](3).eval()
    module, spec = bake(network, spec_for(IMAGES["rgb"]), fold=False)
    assert torch.equal(module.network[0].weight, network[0].weight)
    np.testing.assert_allclose(
        graph_answer(module, spec), host_answer(network, spec_for(IMAGES["rgb"])), atol=TOLERANCE, rtol=0
    )


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_bake_activation(activation: str) -> None:
    network = NETWORKS["zero padding"][0](3).eval()
    spec = spec_for(IMAGES["rgb"], activation)
    module, baked_spec = bake(network, spec)
    np.testing.assert_allclose(
        graph_answer(module, baked_spec), host_answer(network, spec), atol=TOLERANCE, rtol=0
    )


def test_bake_describes_the_new_graph_and_keeps_the_old_spec() -> None:
    spec = spec_for(IMAGES["grey"])
    _, baked_spec = bake(NETWORKS["zero padding"][0](1).eval(), spec)
    assert spec.baked == ()
    assert baked_spec.baked == ("colour_order", "layout", "cast", "normalise", "views", "activation")
    assert baked_spec.graph().inputs == (TensorInfo("image", "uint8", (Dim(), 9, 9, 1)),)
    assert baked_spec.graph().outputs == spec.graph().outputs


def test_bake_twice_is_refused() -> None:
    network = NETWORKS["zero padding"][0](3).eval()
    module, baked_spec = bake(network, spec_for(IMAGES["rgb"]))
    with pytest.raises(SpecError, match="expected nothing baked"):
        bake(module, baked_spec)
