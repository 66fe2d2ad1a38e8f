"""Small ExecuTorch programs for tests, lowered in a second or two."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from runtimes import Dim, Program, TensorInfo

MAX_BATCH = 4
IMAGE = TensorInfo("image", "uint8", (Dim(1, MAX_BATCH), 12, 12, 1))
SCORES = TensorInfo("scores", "float32", (Dim(1, MAX_BATCH), 3))
DELEGATED, NODES = 7, 8
"""What the small CNN's constant methods say."""


@functools.cache
def small_cnn_pte() -> Program:
    """uint8 (1..4, 12, 12, 1) → scores float32 (1..4, 3), with one kernel that is not delegated."""
    pytest.importorskip("executorch", reason="executorch is not installed")
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 8, 3, stride=2)
            self.last = torch.nn.Linear(8, 3)

        def forward(self, image: Any) -> Any:
            x = image.permute(0, 3, 1, 2).float() / 255
            return self.last(torch.relu(self.conv(x)).mean((2, 3))).softmax(1)

    torch.manual_seed(0)
    example = (torch.zeros(2, 12, 12, 1, dtype=torch.uint8),)
    constants = {"edgewright_delegated_nodes": DELEGATED, "edgewright_all_nodes": NODES}
    return Program(_lowered(Network().eval(), example, constants), inputs=(IMAGE,), outputs=(SCORES,))


@functools.cache
def several_pte() -> Program:
    """Two inputs of two types, three outputs, nothing delegated: float32 (N, 3), int64 (N, 3)."""
    pytest.importorskip("executorch", reason="executorch is not installed")
    import torch

    class Network(torch.nn.Module):
        def forward(self, a: Any, b: Any) -> Any:
            return a + 1, b * 2, a.sum(1)

    example = (torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64))
    batch = Dim(1, MAX_BATCH)
    return Program(
        _lowered(Network().eval(), example, {}, delegated=False),
        inputs=(TensorInfo("a", "float32", (batch, 3)), TensorInfo("b", "int64", (batch, 3))),
        outputs=(
            TensorInfo("more", "float32", (batch, 3)),
            TensorInfo("twice", "int64", (batch, 3)),
            TensorInfo("sum", "float32", (batch,)),
        ),
    )


def pictures(batch: int, seed: int = 5) -> np.ndarray:
    """uint8 (batch, 12, 12, 1)."""
    return np.random.default_rng(seed).integers(0, 256, (batch, 12, 12, 1), np.uint8)


def _lowered(
    network: Any, example: tuple[Any, ...], constants: dict[str, int], *, delegated: bool = True
) -> bytes:
    import torch

    from export.lowerings.executorch_lowering import import_exir, quiet_lowering

    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    exir = import_exir()
    with quiet_lowering():
        exported = torch.export.export(network, example, dynamic_shapes=tuple({0: batch} for _ in example))
        partitioner = [exir["partitioner"]()] if delegated else []
        edge = exir["lower"](exported, partitioner=partitioner, constant_methods=constants)
        return bytes(edge.to_executorch().buffer)
