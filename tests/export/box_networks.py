"""Small detectors whose answers are spread over pictures, for tests of what is done to their graphs."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from runtimes import Dim, TensorInfo
from sdk.outputs.boxes import CandidateOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from tests.sdk.box_subjects import LABELS, SIZE_WH, STRIDES, grid_output
from tests.sdk.conftest import image_input

CHANNELS = 2 * (5 + len(LABELS))


class TinyGrid(nn.Module):
    """Three convolutions and two maps, coarsest first."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Conv2d(8, 16, 4, 4), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(16, 16, 2, 2), nn.ReLU())
        self.coarse, self.fine = nn.Conv2d(16, CHANNELS, 1), nn.Conv2d(16, CHANNELS, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Raw maps at strides 32 and 16."""
        fine = self.stem(image)
        return self.coarse(self.down(fine)), self.fine(fine)


def tiny_grid() -> nn.Module:
    """A `TinyGrid` whose scores reach from nothing to nearly 1."""
    network = TinyGrid()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3.0)
    return network


def detector_spec(output: CandidateOutput | None = None, size_wh: tuple[int, int] = SIZE_WH) -> Spec:
    """Of a checkpoint of `tiny_grid`, nothing baked."""
    width, height = size_wh
    maps = [(Dim(), CHANNELS, height // stride, width // stride) for stride in STRIDES]
    graph = Graph(
        "main",
        (TensorInfo("image", "float32", (Dim(), 3, height, width)),),
        tuple(TensorInfo(f"map_{index}", "float32", shape) for index, shape in enumerate(maps)),
    )
    image = image_input(size_wh=size_wh, resize="letterbox", mean=(0.0,) * 3, std=(1.0,) * 3)
    network = Network("tiny_grid", {})
    return Spec(SPEC_VERSION, "tiny", "detection", image, output or grid_output(), (graph,), (), network)


def declare_tiny_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let checkpoints find the builder, as an entry point of an installed package would."""
    entry = EntryPoint("tiny_grid", "tests.export.box_networks:tiny_grid", "edgewright.networks")
    monkeypatch.setattr("runtimes.torch_runtime.entry_points", lambda group: [entry])


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    """Coarse coloured patches: uint8 (96, 160, 3), no two alike."""
    generator = np.random.default_rng(seed)
    patches = generator.integers(0, 256, (count, 6, 10, 3), dtype=np.uint8)
    return list(patches.repeat(16, axis=1).repeat(16, axis=2))
