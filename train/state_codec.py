"""Nested training state as tensors with flat names and one JSON tree, and back. Nothing else gets through.

Containers other than lists, and whatever JSON has no exact form for, are stored as ``{"is": kind, "of":
value}``, so that tuples stay tuples, keys keep their type, and infinities survive.
"""

from __future__ import annotations

import base64
import math
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor


class StateTypeError(TypeError):
    """A value of a type that a checkpoint does not hold."""


def encode_state(tree: Any) -> tuple[dict[str, Tensor], Any]:
    """Take `tree` apart.

    Args:
        tree: Dicts, lists and tuples of tensors, numpy arrays, numbers, strings, bytes and None.

    Returns:
        The tensors by name, contiguous copies on the CPU, and JSON data for everything else.

    Raises:
        StateTypeError: Anything of another type; its place is named.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, _encode(tree, "state", tensors)


def decode_state(tensors: dict[str, Tensor], data: Any) -> Any:
    """Put together what `encode_state` took apart.

    Raises:
        StateTypeError: A tag or tensor name that `encode_state` does not write.
    """
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    if isinstance(data, list):
        return [decode_state(tensors, item) for item in data]
    if not isinstance(data, dict) or set(data) != {"is", "of"}:
        raise StateTypeError(f"no tagged value: {str(data)[:60]}")
    return _decode_tagged(tensors, data["is"], data["of"])


def _encode(value: Any, where: str, tensors: dict[str, Tensor]) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
        return value
    if kind is float:
        return {"is": "float", "of": repr(value)}
    if kind is bytes:
        return {"is": "bytes", "of": base64.b64encode(value).decode()}
    if isinstance(value, Tensor):
        return {"is": "tensor", "of": _keep(value.detach().to("cpu", copy=True), where, tensors)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"is": "array", "of": _keep(torch.from_numpy(value.copy()), where, tensors)}
    if kind is list:
        return [_encode(item, f"{where}.{at}", tensors) for at, item in enumerate(value)]
    if kind is tuple:
        return {
            "is": "tuple",
            "of": [_encode(item, f"{where}.{at}", tensors) for at, item in enumerate(value)],
        }
    if kind in (dict, OrderedDict):
        pairs = [[_key(key, where), _encode(item, f"{where}.{key}", tensors)] for key, item in value.items()]
        return {"is": "dict" if kind is dict else "ordered-dict", "of": pairs}
    raise StateTypeError(f"{where} is a {kind.__module__}.{kind.__qualname__}")


def _key(key: Any, where: str) -> Any:
    if type(key) not in (str, int):
        raise StateTypeError(f"{where} has a key of type {type(key).__qualname__}")
    return key


def _keep(tensor: Tensor, where: str, tensors: dict[str, Tensor]) -> str:
    # Names come from the path in the tree, which is unique but for keys such as 1 and "1".
    name = where if where not in tensors else f"{where}#{len(tensors)}"
    tensors[name] = tensor.contiguous()
    return name


def _decode_tagged(tensors: dict[str, Tensor], kind: str, value: Any) -> Any:
    if kind in ("tensor", "array"):
        if value not in tensors:
            raise StateTypeError(f"no tensor {value!r}")
        return tensors[value] if kind == "tensor" else tensors[value].numpy()
    if kind == "float":
        return float(value)
    if kind == "bytes":
        return base64.b64decode(value)
    if kind == "tuple":
        return tuple(decode_state(tensors, item) for item in value)
    if kind in ("dict", "ordered-dict"):
        pairs = [(key, decode_state(tensors, item)) for key, item in value]
        return dict(pairs) if kind == "dict" else OrderedDict(pairs)
    raise StateTypeError(f"unknown tag {kind!r}")
