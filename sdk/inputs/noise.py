"""Noise: what a generator makes pictures from. An item is a seed, or the numbers themselves."""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from runtimes import Array, InputError, SpecError, UsageError
from sdk.kinds import InputKind, Sample
from sdk.schemas import NUMBER, Schema, listed

NOISE = "noise"
"""Name of the graph input."""
SEEDS = 2**64
"""Seeds are below this."""
STRIDE = 2**32
"""Pictures drawn together have seeds this far apart, so that the sets of two seeds never meet."""
LEAST_TRUNCATION = 0.1
"""Nearer to zero nearly everything drawn is thrown away, and all pictures are alike."""

_NPY_MAGIC = b"\x93NUMPY"
_SHOWN = 40
"""Bytes of an item that a message quotes."""


@dataclass(frozen=True)
class NoiseInput(InputKind):
    """Independent numbers with mean 0 and deviation 1.

    Attributes:
        dimensions: Numbers that one picture is made from.
    """

    kind: ClassVar[str] = "noise"
    bakeable: ClassVar[tuple[str, ...]] = ()

    dimensions: int

    def __post_init__(self) -> None:
        if self.dimensions < 1:
            raise SpecError("spec.input.dimensions", got=str(self.dimensions), expected="at least 1",
                            fix="Correct the spec.")  # fmt: skip

    def load(self, item: Any) -> Sample:
        """Draw the numbers of a seed, or take them as they are.

        Args:
            item: A seed (a whole number, or its digits as text), or float numbers (dimensions,) as an array;
                or a file of digits or an ``.npy``, or the bytes of one.

        Raises:
            InputError: It is neither, or the numbers do not fit.
        """
        known = _seed_or_array(item)
        if isinstance(known, int):
            return Sample({NOISE: draw_normal(known, self.dimensions)}, known, {})
        self._require_fit(known)
        numbers = known.astype(np.float32)
        numbers.setflags(write=False)
        return Sample({NOISE: numbers}, numbers, {})

    def batch(self, samples: Sequence[Sample], baked: Collection[str]) -> dict[str, Array]:  # noqa: ARG002
        """The numbers of several items: float32 (N, dimensions)."""
        return {NOISE: np.stack([sample.arrays[NOISE] for sample in samples])}

    def from_json_item(self, value: Any) -> Any:
        """A seed, or a list of `dimensions` numbers."""
        numbers = isinstance(value, list) and all(
            isinstance(number, (int, float)) and not isinstance(number, bool) for number in value
        )
        if numbers:
            return np.array(value, np.float32)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise _neither(f"JSON of type {type(value).__name__}")

    def json_schema(self) -> Schema:
        """See `from_json_item`."""
        numbers = listed(NUMBER, least=self.dimensions, most=self.dimensions)
        return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": SEEDS - 1}, numbers]}

    def is_list(self, item: Any) -> bool:
        """Lists, tuples and ranges are several items."""
        return isinstance(item, (list, tuple, range))

    def encode(self, source: Any) -> bytes:
        """A seed as its digits, numbers as the bytes of an ``.npy``."""
        if isinstance(source, int):
            return str(source).encode()
        buffer = io.BytesIO()
        np.save(buffer, source, allow_pickle=False)
        return buffer.getvalue()

    def draws(self, count: Any, seed: int = 0, truncation: float | None = None) -> list[Any]:
        """Items for `count` different pictures.

        The first is `seed` itself; each further one is `STRIDE` on, whatever the count is.

        Args:
            count: How many.
            seed: From 0 to below `STRIDE`.
            truncation: Numbers farther from zero than this are drawn again (Brock et al. 2019, "Large Scale
                GAN Training", section 3.1); None keeps all.

        Raises:
            UsageError: A number makes no sense.
        """
        _require("n", count, _is_whole(count) and count >= 1, "a whole number of pictures, at least 1")
        _require(
            "seed", seed, _is_whole(seed) and 0 <= seed < STRIDE, f"a whole number from 0 to {STRIDE - 1}"
        )
        least = LEAST_TRUNCATION
        holds = truncation is None or (isinstance(truncation, (int, float)) and truncation >= least)
        _require("truncation", truncation, holds, f"a number of deviations, at least {least}")
        seeds = [(int(seed) + at * STRIDE) % SEEDS for at in range(count)]
        if truncation is None:
            return seeds
        return [draw_normal(each, self.dimensions, truncation) for each in seeds]

    def _require_fit(self, array: Array) -> None:
        wanted = (self.dimensions,)
        if array.dtype.kind != "f" or array.shape != wanted:
            raise InputError("Noise", got=f"{array.dtype} {array.shape}", expected=f"floats {wanted}",
                             fix="One item has no batch axis; pass several as a list.")  # fmt: skip
        if not np.isfinite(array).all():
            raise InputError("Noise", got="NaN or infinity", expected="finite numbers", fix="Draw it again.")


def draw_normal(seed: int, count: int, truncation: float | None = None) -> Array:
    """Normally distributed numbers that are the same on every machine: float32 (count,).

    PCG64's bits, which numpy promises never to change (as its `Generator.standard_normal` may: NEP 19), by
    the formula of Box & Muller 1958, "A Note on the Generation of Random Normal Deviates".

    Args:
        seed: From 0 to below `SEEDS`.
        count: How many.
        truncation: Leave out what is farther from zero than this.
    """
    bits = np.random.PCG64(seed)
    drawn: list[Array] = []
    missing = count
    while missing > 0:
        raw = bits.random_raw(2 * ((count + 1) // 2))
        uniform = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
        radius = np.sqrt(-2.0 * np.log(1.0 - uniform[0::2]))
        angle = 2.0 * np.pi * uniform[1::2]
        normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)
        kept = normal if truncation is None else normal[np.abs(normal) <= truncation]
        drawn.append(kept)
        missing -= len(kept)
    return np.concatenate(drawn)[:count].astype(np.float32)


def _seed_or_array(item: Any) -> int | Array:
    if _is_whole(item):
        return _checked_seed(int(item))
    if isinstance(item, np.ndarray):
        return item
    if isinstance(item, bytes):
        return _of_bytes(item, repr(item[:_SHOWN].decode(errors="replace")))
    if not isinstance(item, (str, os.PathLike)):
        raise _neither(f"a {type(item).__name__}")
    name = repr(Path(item).name)
    if str(item).isdecimal():
        return _of_bytes(str(item).encode(), name)
    try:
        return _of_bytes(Path(item).read_bytes(), f"file {name}")
    except (OSError, ValueError) as error:
        missing = not isinstance(error, (IsADirectoryError, PermissionError))
        raise _neither(name if missing else f"{name}, which cannot be read") from error


def _of_bytes(data: bytes, name: str) -> int | Array:
    """What an encoded item, or a file, holds."""
    if data.startswith(_NPY_MAGIC):
        try:
            array: Array = np.load(io.BytesIO(data), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"Noise {name}", got="no whole .npy array", expected="an array saved by np.save",
                             fix="Pass a seed, or save the numbers again.") from error  # fmt: skip
        return array
    digits = data.strip()
    if not digits.isdigit() or len(digits) > len(str(SEEDS)):
        raise _neither(name)
    return _checked_seed(int(digits))


def _checked_seed(seed: int) -> int:
    if not 0 <= seed < SEEDS:
        raise _neither(str(seed))
    return seed


def _neither(got: str) -> InputError:
    return InputError("Noise", got=got, expected=f"a seed from 0 to {SEEDS - 1}, or an array of numbers",
                      fix="Pass a whole number such as 7.")  # fmt: skip


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise UsageError(f"Option {name!r}", got=repr(value), expected=expected, fix="Correct the value.")
