"""The Open Inference Protocol, as a client of others asks it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdk import Predictor
from sdk.serve.oip_request import DATATYPES, HEADER_LENGTH, read_request
from sdk.serve.problems import ProblemError
from tests.served import served

http = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")

LEVELS = (0, 90, 200, 255)
SAME = 1e-6
MOST_BYTES = 64 * 1024


def _png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((28, 28), level, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def client(light_artifact: Path) -> Iterator[Any]:
    with served({"light": light_artifact}, max_body_bytes=MOST_BYTES) as address:
        client = http.InferenceServerClient(address.partition("//")[2])
        try:
            yield client
        finally:
            client.close()


@pytest.fixture(scope="module")
def expected(light_artifact: Path) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """The graph's input for `LEVELS`, its scores, and results."""
    items = [_png(level) for level in LEVELS]
    with Predictor(light_artifact) as predictor:
        arrays, _ = predictor.prepare(items)
        return (
            arrays["image"],
            predictor.outputs(items)["scores"],
            [r.to_dict() for r in predictor.predict(items)],
        )


def _raw(array: np.ndarray, *, binary: bool = True, datatype: str = "UINT8", name: str = "image") -> Any:
    sent = http.InferInput(name, list(array.shape), datatype)
    sent.set_data_from_numpy(array, binary_data=binary)
    return sent


def _items(levels: tuple[int, ...] = LEVELS) -> Any:
    sent = http.InferInput("item", [len(levels)], "BYTES")
    sent.set_data_from_numpy(np.array([_png(level) for level in levels], object))
    return sent


def test_server_and_model_describe_themselves(client: Any) -> None:
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("light")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    told = client.get_model_metadata("light")
    (version,) = told["versions"]
    assert client.get_model_metadata("light", version) == told
    assert client.is_model_ready("light", version)
    assert {(entry["name"], entry["datatype"], tuple(entry["shape"])) for entry in told["inputs"]} == {
        ("item", "BYTES", (-1,)),
        ("image", "UINT8", (-1, 28, 28, 1)),
    }
    assert [entry["name"] for entry in told["outputs"]] == ["scores", "result"]


@pytest.mark.parametrize("answer", [True, False], ids=["binary answer", "json answer"])
@pytest.mark.parametrize("sent", [True, False], ids=["binary", "json"])
def test_tensors_of_the_graph_give_its_outputs(client: Any, expected: Any, sent: bool, answer: bool) -> None:
    image, scores, _ = expected
    wanted = [http.InferRequestedOutput("scores", binary_data=answer)]
    found = client.infer("light", [_raw(image, binary=sent)], outputs=wanted, request_id="mine")
    np.testing.assert_allclose(found.as_numpy("scores"), scores, atol=SAME)
    assert found.get_response()["id"] == "mine"


@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
def test_items_are_prepared_and_give_results(client: Any, expected: Any, packed: str | None) -> None:
    _, scores, results = expected
    found = client.infer(
        "light", [_items()], request_compression_algorithm=packed, response_compression_algorithm=packed
    )
    np.testing.assert_allclose(found.as_numpy("scores"), scores, atol=SAME)
    assert [json.loads(text) for text in found.as_numpy("result")] == results  # all of them whole numbers


def test_version_in_the_address_has_to_be_the_one_that_is_served(client: Any, expected: Any) -> None:
    (version,) = client.get_model_metadata("light")["versions"]
    found = client.infer("light", [_raw(expected[0])], model_version=version)
    np.testing.assert_allclose(found.as_numpy("scores"), expected[1], atol=SAME)
    with pytest.raises(http.InferenceServerException, match=rf"Version: got '7', expected {version}"):
        client.infer("light", [_raw(expected[0])], model_version="7")


def _wanted(name: str, **options: Any) -> dict[str, Any]:
    return {"outputs": [http.InferRequestedOutput(name, **options)]}


def _zeros(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ([_raw(_zeros(1, 5, 5, 1))], {}, r"expected UINT8 of shape \[-1, 28, 28, 1\]"),
        ([_raw(_zeros(1, 28, 28, 1, dtype="float32"), datatype="FP32")], {}, "got FP32 .*, expected UINT8"),
        ([_raw(_zeros(1, 28, 28, 1), name="other")], {}, r"got \['other'\], expected \['image'\]"),
        ([_items(), _raw(_zeros(4, 28, 28, 1))], {}, "got more than 'item'"),
        ([_items()], _wanted("nothing"), "Output: got 'nothing', expected one of"),
        ([_raw(_zeros(1, 28, 28, 1))], _wanted("result"), "Output 'result': got it asked of raw tensors"),
        ([_items()], _wanted("scores", class_count=2), "no fields but binary_data"),
        ([_items()], {"sequence_id": 3, "sequence_start": True}, "no fields but binary_data_output"),
        ([_raw(_zeros(300, 28, 28, 1), binary=False)], {}, "Body: got"),
        ([_raw(_zeros(0, 28, 28, 1))], {}, "expected UINT8 of shape"),
    ],
    ids=["shape", "datatype", "name", "both", "output", "raw", "classification", "sequence", "body", "rows"],
)
def test_what_cannot_be_inferred_is_refused_in_one_line(
    client: Any, inputs: list[Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(http.InferenceServerException, match=message) as caught:
        client.infer("light", inputs, **options)
    assert "\n" not in caught.value.message()
    assert client.is_model_ready("light")


def test_bomb_is_not_unpacked(client: Any) -> None:
    zeros = _raw(np.zeros((100, 28, 28, 1), np.uint8))  # 78 kB, which gzip makes a few hundred bytes
    with pytest.raises(http.InferenceServerException, match=f"expected at most {MOST_BYTES:,}"):
        client.infer("light", [zeros], request_compression_algorithm="gzip")


def test_item_that_is_none_is_its_own_error(client: Any) -> None:
    sent = http.InferInput("item", [1], "BYTES")
    sent.set_data_from_numpy(np.array([b"no picture"], object))
    with pytest.raises(http.InferenceServerException, match=r"\[422\]"):
        client.infer("light", [sent])


@pytest.mark.parametrize("dtype", DATATYPES)
def test_every_datatype_is_read_as_bytes_and_as_json(dtype: str) -> None:
    from runtimes import Dim, TensorInfo

    info = TensorInfo("x", dtype, (Dim(), 3))
    array = np.array([[0, 1, 1], [1, 0, 1]], dtype)
    entry = {"name": "x", "datatype": DATATYPES[dtype], "shape": [2, 3]}
    nested = json.dumps({"inputs": [{**entry, "data": array.tolist()}]}).encode()
    head = json.dumps({"inputs": [{**entry, "parameters": {"binary_data_size": array.nbytes}}]}).encode()
    for body, length in ((nested, None), (head + array.tobytes(), str(len(head)))):
        found = read_request(body, length).inputs["x"].array(info)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, array)


TENSOR = {"name": "x", "datatype": "UINT8", "shape": [2]}
WHOLE = {**TENSOR, "data": [1, 2]}
BYTES_FOLLOW = {"parameters": {"binary_data_size": 2}}


def _asked(*inputs: Any, **more: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **more}).encode()


@pytest.mark.parametrize(
    ("body", "length"),
    [
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"[]", None, id="list"),
        pytest.param(b"{" * 100_000, None, id="deep"),
        pytest.param(_asked(), None, id="no inputs"),
        pytest.param(_asked({}), None, id="empty input"),
        pytest.param(_asked(TENSOR), None, id="no data"),
        pytest.param(_asked({**WHOLE, **BYTES_FOLLOW}), None, id="data twice"),
        pytest.param(_asked({**TENSOR, **BYTES_FOLLOW}), None, id="missing bytes"),
        pytest.param(_asked({**TENSOR, "shape": [True], "data": [1]}), None, id="shape"),
        pytest.param(_asked({**TENSOR, "shape": [-1], "data": [1]}), None, id="negative"),
        pytest.param(_asked(WHOLE, WHOLE), None, id="input twice"),
        pytest.param(_asked(WHOLE, id=5), None, id="id"),
        pytest.param(_asked(WHOLE, parameters={"timeout": -1}), None, id="timeout"),
        pytest.param(_asked(WHOLE, more=1), None, id="unknown"),
        pytest.param(_asked(WHOLE), "9999", id="header length"),
        pytest.param(_asked(WHOLE), "-1", id="negative length"),
        pytest.param(_asked(WHOLE) + b"12", str(len(_asked(WHOLE))), id="bytes left"),
    ],
)
def test_request_of_another_form_is_refused(body: bytes, length: str | None) -> None:
    with pytest.raises(ProblemError) as caught:
        read_request(body, length)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "data",
    [b"\x02\0\0\0a", b"\x02\0\0", b"\xff\xff\xff\xff", b"\x01\0\0\0a\x01\0\0\0b"],
    ids=["cut", "cut length", "huge", "too many"],
)
def test_elements_that_do_not_fit_are_refused(data: bytes) -> None:
    entry = {"name": "item", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [entry]}).encode()
    request = read_request(head + data, str(len(head)))
    with pytest.raises(ProblemError) as caught:
        request.inputs["item"].elements()
    assert (caught.value.status, caught.value.detail[:13]) == (400, "Input 'item':")


def test_base64_strings_are_bytes_where_they_say_so() -> None:
    entry = {"name": "item", "datatype": "BYTES", "shape": [1], "data": ["aGk="]}
    plain = read_request(json.dumps({"inputs": [entry]}).encode(), None)
    packed = read_request(
        json.dumps({"inputs": [{**entry, "parameters": {"content_type": "base64"}}]}).encode(), None
    )
    assert (plain.inputs["item"].elements(), packed.inputs["item"].elements()) == ([b"aGk="], [b"hi"])
    assert HEADER_LENGTH == "inference-header-content-length"
