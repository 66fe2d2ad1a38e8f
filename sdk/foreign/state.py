"""State that a graph gives out to be handed in again: recurrent cells, caches of attention."""

from __future__ import annotations

import re
from typing import NamedTuple

from sdk.foreign.onnx_outline import OnnxOutline, OnnxTensor

_WORDS_OF_TIME = {
    "in", "out", "input", "output", "prev", "previous", "next", "new", "old", "past", "present", "last",
    "current", "updated", "init", "initial", "n", "0", "1", "t", "key_values",
}  # fmt: skip
_WORDS_OF_STATE = ("state", "hidden", "cell", "cache", "past", "memory", "carry")
_CELLS = ("h", "c", "h0", "c0", "hn", "cn", "h_0", "c_0")


class State(NamedTuple):
    """An input, and the output that is it after the call."""

    taken: str
    given: str


def state_pairs(outline: OnnxOutline) -> list[State]:
    """Inputs that an output of the same type and shape continues, judged by their names."""
    pairs: list[State] = []
    free = list(outline.outputs)
    for tensor in outline.inputs:
        alike = [output for output in free if _alike(tensor, output)]
        named = [output for output in alike if _stem(output.name) == _stem(tensor.name)]
        if not named and _is_state(tensor.name) and len(alike) == 1:
            named = alike
        if named:
            pairs.append(State(tensor.name, named[0].name))
            free.remove(named[0])
    return pairs


def _alike(taken: OnnxTensor, given: OnnxTensor) -> bool:
    if taken.dtype != given.dtype or taken.shape is None or given.shape is None:
        return False
    if len(taken.shape) != len(given.shape) or not taken.shape:
        return False
    pairs = zip(taken.shape, given.shape, strict=True)
    return all(a == b or not (isinstance(a, int) and isinstance(b, int)) for a, b in pairs)


def _stem(name: str) -> tuple[str, ...]:
    """A name without what says before or after: ``past_key_values.3.key`` and ``present.3.key`` are one."""
    text = re.sub(r"key_values", "", name.lower())
    text = re.sub(r"([a-z])(in|out|n|0)$", r"\1", text) if _is_state(text) else text
    parts = [part for part in re.split(r"[^a-z0-9]+", text) if part]
    kept = tuple(part for i, part in enumerate(parts) if part not in _WORDS_OF_TIME or _is_layer(parts, i))
    return kept or tuple(parts)


def _is_layer(parts: list[str], at: int) -> bool:
    """Whether a number stands between words: it names a layer, not a time."""
    return parts[at].isdigit() and 0 < at < len(parts) - 1


def _is_state(name: str) -> bool:
    lowered = name.lower()
    return lowered in _CELLS or any(word in lowered for word in _WORDS_OF_STATE)
