"""Nested state as tensors and JSON."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from train.state_codec import StateTypeError, decode_state, encode_state


def _round_trip(tree: Any) -> Any:
    tensors, data = encode_state(tree)
    return decode_state(tensors, json.loads(json.dumps(data, allow_nan=False)))


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -5, 2**70, 0.1, 1e-320, "text ✓", b"\0\xff", [], (), {}, [1, [2, (3,)]], (0.9, 0.999),
        {0: {"step": 1}, 1: {}}, {"is": "tensor", "of": "fake"}, {1: "int", "1": "str"},
        OrderedDict([("b", 1), ("a", 2)]), math.inf, -math.inf,
    ],
    ids=repr,
)  # fmt: skip
def test_values_come_back_equal_and_of_their_type(value: Any) -> None:
    again = _round_trip({"value": value})["value"]
    assert again == value
    assert type(again) is type(value)


def test_nan_comes_back() -> None:
    assert math.isnan(_round_trip([math.nan])[0])


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.uint8], ids=str
)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)], ids=str)
def test_tensors_come_back(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = torch.ones(shape).to(dtype)
    again = _round_trip((tensor,))[0]
    assert again.dtype == dtype
    assert torch.equal(again, tensor)


def test_tensors_are_copies_without_memory_layout() -> None:
    tensor = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    tensors, _ = encode_state([tensor, tensor])
    first, second = tensors.values()
    assert first.is_contiguous()
    assert first.data_ptr() != second.data_ptr() != tensor.data_ptr()


def test_keys_that_read_alike_do_not_share_a_tensor() -> None:
    again = _round_trip({1: torch.tensor(1.0), "1": torch.tensor(2.0)})
    assert (again[1].item(), again["1"].item()) == (1.0, 2.0)


def test_arrays_come_back() -> None:
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    again = _round_trip({"a": array})["a"]
    assert isinstance(again, np.ndarray)
    assert again.dtype == array.dtype
    assert np.array_equal(again, array)


class _Text(str):
    """A type that would come back as another."""


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        Path("x"),
        lambda: 0,
        defaultdict(int),
        _Text("x"),
        np.float64(1.0),
        1j,
        torch.float32,
    ],
    ids=lambda value: type(value).__name__,
)
def test_unknown_types_are_refused_by_place(value: Any) -> None:
    with pytest.raises(StateTypeError, match=r"state\.outer\.1 is a "):
        encode_state({"outer": [0, value]})


def test_unknown_key_types_are_refused() -> None:
    with pytest.raises(StateTypeError, match="key of type tuple"):
        encode_state({(1, 2): 3})


@pytest.mark.parametrize(
    "data",
    [{"is": "module", "of": "os"}, {"is": "tensor", "of": "gone"}, {"a": 1}],
    ids=["tag", "tensor", "untagged"],
)
def test_unknown_tags_are_refused(data: Any) -> None:
    with pytest.raises(StateTypeError):
        decode_state({}, data)
