"""A stand-in for torch2trt. It converts nothing: it notes what it was asked and hands out a stand-in plan."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.runtimes.tensorrt_stand_in import TensorRTStandIn, _Engine, install, make_plan


class Torch2trtStandIn:
    """The module `torch2trt`; `asked` holds the arguments of the last conversion."""

    __version__ = "0.5.0"

    def __init__(self, trt: TensorRTStandIn) -> None:
        self.trt = trt
        self.asked: dict[str, Any] = {}
        self.layers: list[dict[str, Any]] = []

    def torch2trt(self, module: Any, inputs: list[Any], **options: Any) -> Any:
        """Run the module once, as torch2trt does, and answer with an engine."""
        module(*inputs)
        self.asked = {"training": module.training, "inputs": [tuple(x.shape) for x in inputs], **options}
        plan = make_plan(self.trt.__version__, layers=self.layers)
        engine = _Engine(self.trt, {"inputs": [], "outputs": [], "layers": self.layers})
        engine.serialize = lambda: plan
        return SimpleNamespace(engine=engine)


def install_torch2trt(monkeypatch: pytest.MonkeyPatch, version: str = "10.3.0") -> Torch2trtStandIn:
    """Put the stand-ins of torch2trt, TensorRT and CUDA in place, and keep tensors on the CPU."""
    import torch

    stand_in = Torch2trtStandIn(install(monkeypatch, version))
    monkeypatch.setitem(sys.modules, "torch2trt", stand_in)
    for kind in (torch.Tensor, torch.nn.Module):
        monkeypatch.setattr(kind, "cuda", lambda self: self)
    return stand_in
