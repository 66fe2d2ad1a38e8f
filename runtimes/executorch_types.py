"""What both routes into ExecuTorch speak of: types by number, and a tensor's type and largest sizes."""

from __future__ import annotations

from typing import NamedTuple

DTYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
}
"""Numpy's names by the ScalarType numbers of ExecuTorch's runtime/core/portable_type/scalar_type.h."""


class TensorMeta(NamedTuple):
    """What a program says of an input or output: type number, and the largest extent per axis."""

    type_number: int
    sizes: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """Numpy's name of the type; ``type N`` for one that numpy lacks."""
        return DTYPES.get(self.type_number, f"type {self.type_number}")


class MethodInfo(NamedTuple):
    """What a program says of one of its methods, without loading it.

    Attributes:
        inputs: In call order; None for one that is not a tensor.
        outputs: In return order; None for one that is not a tensor.
        delegates: Backends that parts of it are delegated to; None where the route cannot tell.
    """

    inputs: tuple[TensorMeta | None, ...]
    outputs: tuple[TensorMeta | None, ...]
    delegates: tuple[str, ...] | None
