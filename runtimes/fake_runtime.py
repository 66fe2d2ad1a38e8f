"""A runtime without an engine, for tests of everything that stands on `Runtime`.

Its program is JSON: ``{"inputs": [[name, dtype, shape]], "outputs": [[name, dtype, shape]],
"rows": [[…], …]}``, with None for a free dimension. Each output is one of `rows` per input item,
chosen by the item's sum modulo the number of rows, so answers are deterministic and tell items apart.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from runtimes.base import Array, Dim, Program, Runtime, TensorInfo
from runtimes.errors import EngineError, first_line


class FakeRuntime(Runtime):
    """Answers from a table; counts its calls in `calls`."""

    name = "fake"

    def __init__(self, program: Program) -> None:
        super().__init__()
        try:
            table = json.loads(program.data)
            self.inputs = tuple(_info(entry) for entry in table["inputs"])
            self.outputs = tuple(_info(entry) for entry in table["outputs"])
            self._rows = np.asarray(table["rows"])
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(
                "Fake program",
                got=first_line(error),
                expected="a JSON table",
                fix="See runtimes/fake_runtime.py for its layout.",
            ) from error
        self.calls: list[tuple[int, ...]] = []

    def _run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        first = next(iter(inputs.values()))
        self.calls.append(first.shape)
        sums = first.reshape(len(first), -1).astype(np.float64).sum(axis=1)
        rows = self._rows[np.mod(np.rint(sums), len(self._rows)).astype(np.int64)]
        return {info.name: rows.astype(info.dtype) for info in self.outputs}

    def _close(self) -> None:
        self._rows = np.empty(0)


def _info(entry: list[Any]) -> TensorInfo:
    name, dtype, shape = entry
    return TensorInfo(name, dtype, tuple(Dim() if extent is None else int(extent) for extent in shape))
