"""Reading what an ONNX file says of itself, without onnx and without an engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtimes import ArtifactError
from sdk.foreign.onnx_outline import outline_of, read_outline
from sdk.wire import WireError, fields
from tests.sdk.foreign_models import FLOAT, INT64, STRING, UINT8, colour_classifier, node, write_model

MUTATIONS = 400


def test_outline_has_names_types_and_shapes(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "m.onnx",
        [node("Identity", ["a"], ["x"]), node("Identity", ["b"], ["y"]), node("Identity", ["c"], ["z"])],
        [("a", FLOAT, ["batch", None, 3]), ("b", INT64, []), ("c", UINT8, [1])],
        [("x", FLOAT, None), ("y", INT64, []), ("z", UINT8, [1])],
        metadata={"author": "Zoë"},
        opset=11,
        ir_version=5,
    )
    outline = read_outline(path)

    assert [(t.name, t.dtype, t.shape) for t in outline.inputs] == [
        ("a", "float32", ("batch", None, 3)),
        ("b", "int64", ()),
        ("c", "uint8", (1,)),
    ]
    assert outline.outputs[0].shape is None
    assert (outline.opset, outline.ir_version, outline.producer) == (11, 5, "elsewhere")
    assert outline.metadata == {"author": "Zoë"}
    assert [n.operator for n in outline.nodes] == ["Identity"] * 3
    assert str(outline.inputs[0]) == "float32 (batch, ?, 3)"


def test_outline_leaves_weights_of_old_files_out_of_the_inputs(tmp_path: Path) -> None:
    path = colour_classifier(tmp_path / "old.onnx", opset=8, ir_version=3, weights_are_inputs=True)

    assert [tensor.name for tensor in read_outline(path).inputs] == ["input.1"]
    assert read_outline(path).weights == 1


@pytest.mark.parametrize("extent", [-1, 0])
def test_outline_takes_a_non_positive_extent_for_an_open_axis(tmp_path: Path, extent: int) -> None:
    path = colour_classifier(tmp_path / "m.onnx", batch=extent)

    assert read_outline(path).inputs[0].shape == (None, 3, 8, 8)


def test_outline_tells_weights_in_other_files(tmp_path: Path) -> None:
    import onnx

    path = colour_classifier(tmp_path / "m.onnx")
    model = onnx.load(path)
    onnx.save(model, tmp_path / "e.onnx", save_as_external_data=True, location="e.bin", size_threshold=0)

    assert read_outline(tmp_path / "e.onnx").external
    assert not read_outline(path).external


def test_outline_names_what_is_no_tensor(tmp_path: Path) -> None:
    from onnx import helper

    path = colour_classifier(tmp_path / "m.onnx")
    import onnx

    model = onnx.load(path)
    model.graph.output.append(
        helper.make_value_info("rows", helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [2])))
    )
    model.graph.output.append(helper.make_tensor_value_info("words", STRING, [None]))
    outline = outline_of(model.SerializeToString(), "m.onnx")

    assert [(t.name, t.dtype) for t in outline.outputs[1:]] == [("rows", "sequence"), ("words", "object")]


@pytest.mark.parametrize(
    "data", [b"", b"not a model at all", b"\x89PNG\r\n\x1a\n" + bytes(40), b"\x08\x08"], ids=str
)
def test_outline_refuses_what_is_no_model(data: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"^ONNX file 'x.onnx': got bytes that are no whole ONNX model"):
        outline_of(data, "x.onnx")


def test_outline_of_damaged_bytes_is_an_error_or_an_outline(tmp_path: Path) -> None:
    whole = colour_classifier(tmp_path / "m.onnx", metadata={"names": "['a', 'b', 'c']"}).read_bytes()
    random, refused = np.random.default_rng(0), 0
    for _ in range(MUTATIONS):
        data = bytearray(whole[: random.integers(1, len(whole) + 1)])
        for _ in range(random.integers(1, 4)):
            data[random.integers(len(data))] = random.integers(256)
        try:
            outline_of(bytes(data), "x.onnx")
        except ArtifactError:
            refused += 1
    assert refused > MUTATIONS / 2


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x0a\x05abc", "ends behind"),
        (b"\x08", "ends behind"),
        (b"\x08" + b"\xff" * 11, "more than ten bytes"),
        (b"\x00\x00", "field number 0"),
        (b"\x0b\x01", "wire type 3"),
    ],
    ids=["long string", "no number", "endless number", "field 0", "group"],
)
def test_wire_refuses_broken_messages(data: bytes, what: str) -> None:
    with pytest.raises(WireError, match=what):
        list(fields(memoryview(data)))


def test_wire_reads_negative_and_packed_numbers() -> None:
    negative, packed = fields(memoryview(b"\x08" + b"\xff" * 9 + b"\x01" + b"\x12\x03\x01\xac\x02"))

    assert negative.number_value == -1
    assert packed.numbers == [1, 300]


def test_missing_file_is_named() -> None:
    with pytest.raises(ArtifactError, match=r"ONNX file 'gone.onnx': got No such file"):
        read_outline("gone.onnx")
