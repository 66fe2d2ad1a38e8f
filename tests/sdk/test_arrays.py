"""The kinds for plain arrays, in and out."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import Dim, EngineError, InputError, SpecError, TensorInfo
from sdk.inputs.arrays import ArraysInput
from sdk.kinds import InputKind, OutputKind, Sample
from sdk.outputs.arrays import ArraysOutput

FEATURES = TensorInfo("features", "float32", (Dim(), 4))
IDS = TensorInfo("ids", "int64", (3,))
TWO = ArraysInput((FEATURES, IDS), batched=True)
ONE = ArraysInput((FEATURES,), batched=True)


def item(rows: int = 2) -> dict[str, Any]:
    return {"features": np.ones((rows, 4), np.float32), "ids": np.arange(3)}


def test_kinds_survive_json() -> None:
    output = ArraysOutput(("a", "b"), batched=False)

    assert InputKind.from_json(TWO.to_json(), "spec.input") == TWO
    assert OutputKind.from_json(output.to_json(), "spec.output") == output


@pytest.mark.parametrize("form", ["mapping", "bytes", "npz", "npy", "array"])
def test_load_takes_arrays_in_every_form(tmp_path: Path, form: str) -> None:
    kind = TWO if form in ("mapping", "bytes", "npz") else ONE
    np.savez(tmp_path / "item.npz", **item())
    np.save(tmp_path / "item.npy", item()["features"])
    given = {
        "mapping": item(),
        "bytes": (tmp_path / "item.npz").read_bytes(),
        "npz": tmp_path / "item.npz",
        "npy": str(tmp_path / "item.npy"),
        "array": item()["features"],
    }[form]
    sample = kind.load(given)

    assert list(sample.arrays) == [info.name for info in kind.tensors]
    np.testing.assert_array_equal(sample.arrays["features"], item()["features"])


def test_encode_is_loaded_again_as_it_was() -> None:
    sample = TWO.load(item(5))
    again = TWO.load(TWO.encode(sample.source))

    for name, array in sample.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
        assert again.arrays[name].dtype == array.dtype


def _pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"features": np.ones((2, 4), np.float32)}, "got arrays"),
        ({**item(), "more": np.ones(1)}, "got arrays"),
        ({**item(), "ids": np.arange(3.0)}, "Input 'ids': got float64"),
        ({**item(), "ids": np.arange(4)}, r"Input 'ids': got int64 \(4,\), expected int64 \(3\)"),
        ({**item(), "ids": [0, 1, 2]}, "Input 'ids': got list"),
        (np.ones((2, 4), np.float32), "Item: got ndarray, expected a mapping"),
        (7, "Item: got int"),
        (b"PK\x03\x04 no zip", "Arrays bytes: got no file of plain arrays"),
        (_pickled(), "no file of plain arrays"),
        ("gone.npz", "Arrays 'gone.npz': got no such file"),
    ],
    ids=[
        "missing",
        "unknown",
        "dtype",
        "shape",
        "list",
        "one for two",
        "number",
        "no zip",
        "objects",
        "no file",
    ],
)
def test_load_says_what_does_not_fit(given: Any, what: str) -> None:
    with pytest.raises(InputError, match=what):
        TWO.load(given)


def test_batch_stacks_items_of_one_shape() -> None:
    arrays = TWO.batch([TWO.load(item()), TWO.load(item())], ())

    assert {name: array.shape for name, array in arrays.items()} == {"features": (2, 2, 4), "ids": (2, 3)}
    with pytest.raises(InputError, match=r"Input 'features': got items of shapes \[\(1, 4\), \(2, 4\)\]"):
        TWO.batch([TWO.load(item(1)), TWO.load(item(2))], ())


def test_without_a_batch_axis_arrays_stay_as_they_are() -> None:
    kind = ArraysInput((FEATURES, TensorInfo("rate", "int64", ())), batched=False)
    sample = kind.load({"features": np.ones((2, 4), np.float32), "rate": np.array(16000)})

    assert {n: a.shape for n, a in kind.batch([sample], ()).items()} == {"features": (2, 4), "rate": ()}
    assert kind.batch_of(kind.tensors) == Dim(1, 1)
    assert ONE.batch_of((TensorInfo("features", "float32", (Dim(1, 8), 2, 4)),)) == Dim(1, 8)


def _sample() -> Sample:
    return Sample({}, "source", {})


def test_results_hold_one_row_each() -> None:
    kind = ArraysOutput(("a",), batched=True)
    outputs = kind.activate({"a": np.arange(6.0).reshape(2, 3), "b": np.zeros(9)}, ())
    first, second = kind.read(outputs, [_sample(), _sample()])

    assert list(outputs) == ["a"]
    np.testing.assert_array_equal(second["a"], [3, 4, 5])
    assert first.to_dict() == {
        "outputs": {"a": {"dtype": "float64", "shape": [3], "values": [0.0, 1.0, 2.0]}}
    }
    assert first.summary() == "a float64 (3,): 0, 1, 2"
    assert first.plot().size[1] > 20


def test_whole_outputs_are_one_result() -> None:
    kind = ArraysOutput(("a", "b"), batched=False)
    (result,) = kind.read(kind.activate({"a": np.zeros((2, 3)), "b": np.array(5)}, ()), [_sample()])

    assert (result["a"].shape, result["b"].shape) == ((2, 3), ())


def test_difference_is_a_share_of_what_an_output_holds() -> None:
    kind = ArraysOutput(("large", "small", "index"), batched=True)
    expected = {"large": np.array([[2000.0, 5.0]]), "small": np.array([[0.5]]), "index": np.array([[3]])}

    def apart(**changes: float) -> float:
        return kind.difference({n: a + changes.get(n, 0) for n, a in expected.items()}, expected)

    assert apart() == 0.0
    assert apart(large=1.0) == pytest.approx(1 / 2000)
    assert apart(small=0.25, large=1.0) == pytest.approx(0.25)
    assert apart(index=3) == pytest.approx(1.0)
    assert apart(small=np.nan) == np.inf


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.zeros((3, 2)), r"got shape \(3, 2\) for 2 items"),
        (np.array(1.0), r"got shape \(\) for 2 items"),
        (np.array([1.0, np.nan]), "Output 'a': got NaN"),
    ],
    ids=["rows", "scalar", "nan"],
)
def test_read_refuses_outputs_that_make_no_sense(array: Any, what: str) -> None:
    with pytest.raises(EngineError, match=what):
        ArraysOutput(("a",), batched=True).read({"a": array}, [_sample(), _sample()])


@pytest.mark.parametrize(
    "make",
    [
        lambda: ArraysInput((), True),
        lambda: ArraysInput((IDS, IDS), True),
        lambda: ArraysOutput((), True),
        lambda: ArraysOutput(("a", "a"), True),
    ],
    ids=["no input", "one input twice", "no output", "one output twice"],
)
def test_kinds_refuse_doubles_and_nothing(make: Any) -> None:
    with pytest.raises(SpecError, match="at least one"):
        make()
