"""What guesses of a draft share: a value, and whether the file says so or it is only likely."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdk.foreign.onnx_outline import OnnxNode, OnnxOutline

PASS_THROUGH = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Dropout")
"""Operators that change no values."""
_LABEL_KEYS = ("names", "labels", "classes", "class_names", "id2label")


@dataclass
class Notes:
    """Why a draft says what it says, by the field of the spec.

    Attributes:
        certain: What the file itself shows.
        guessed: What is only likely, and what to look at instead.
    """

    certain: dict[str, str] = field(default_factory=dict)
    guessed: dict[str, str] = field(default_factory=dict)


def last_operator(outline: OnnxOutline, tensor: str) -> OnnxNode | None:
    """The operator that a tensor's values come from, behind those that only move them."""
    node = outline.maker_of(tensor)
    while node is not None and node.operator in PASS_THROUGH and node.inputs:
        node = outline.maker_of(node.inputs[0])
    return node


def first_operator(outline: OnnxOutline, tensor: str) -> OnnxNode | None:
    """The first operator that does something with a tensor's values, where there is only one."""
    while True:
        readers = [node for node in outline.nodes if tensor in node.inputs]
        if len(readers) != 1:
            return None
        if readers[0].operator not in PASS_THROUGH:
            return readers[0]
        tensor = readers[0].outputs[0]


def labels_in(metadata: Mapping[str, str], count: int) -> tuple[str, ...] | None:
    """So many different class names from a file's metadata; None where there are none."""
    for key in _LABEL_KEYS:
        value = _parsed(metadata[key]) if key in metadata else None
        if isinstance(value, dict) and all(str(name).isdigit() for name in value):
            value = [value[name] for name in sorted(value, key=int)]
        if isinstance(value, list) and len(value) == count and len(set(map(str, value))) == count:
            return tuple(map(str, value))
    return None


def labels_or_numbers(outline: OnnxOutline, count: int, notes: Notes) -> tuple[str, ...]:
    """Class names: the file's own, or ``class 0``, ``class 1``, …"""
    found = labels_in(outline.metadata, count)
    if found is not None:
        notes.certain["output.labels"] = "the file's metadata"
        return found
    notes.guessed["output.labels"] = f"{count} numbers: write the names in, in the order of training"
    return tuple(f"class {index}" for index in range(count))


def _parsed(text: str) -> Any:
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return [part.strip() for part in text.split(",")] if "," in text else None
