"""The OpenAPI document against what the server answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from sdk.serve.problems import PROBLEM_TYPE
from tests.sdk.serve.sockets import picture
from tests.served import served

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")

ITEMS = {"items": [{"base64": base64.b64encode(picture(0)).decode()}]}
MOST_ITEMS = 3
KEY = "a-key-that-is-long-enough"


@pytest.fixture(scope="module")
def server(light_artifact: Path) -> Iterator[str]:
    with served({"light": light_artifact, "second": light_artifact}, max_items=MOST_ITEMS) as address:
        yield address


@pytest.fixture(scope="module")
def document(server: str) -> dict[str, Any]:
    with urlopen(f"{server}/openapi.json") as response:
        found: dict[str, Any] = json.load(response)
    return found


def _schema(document: dict[str, Any], path: str, method: str, status: str = "200", type_: str = "") -> Any:
    content = document["paths"][path][method]["responses"][status]["content"]
    schema = content[type_ or "application/json"]["schema"]
    return {**schema, "components": document["components"]}


def test_every_model_has_typed_paths(document: dict[str, Any]) -> None:
    for name in ("light", "second"):
        assert {f"/v1/models/{name}", f"/v1/models/{name}:predict", f"/v2/models/{name}/infer"} <= set(
            document["paths"]
        )
    assert "/v1/models/light:generate" not in document["paths"]  # it writes nothing
    results = _schema(document, "/v1/models/light:predict", "post")["properties"]["results"]
    assert results["items"]["properties"]["label"]["enum"] == ["bright", "dark"]


def test_answers_to_every_get_are_as_described(server: str, document: dict[str, Any]) -> None:
    asked = [path for path, methods in document["paths"].items() if "get" in methods and path != "/metrics"]
    assert len(asked) >= 12
    for path in asked:
        with urlopen(server + path) as response:
            jsonschema.validate(json.load(response), _schema(document, path, "get"))


@pytest.mark.parametrize(
    ("type_", "body"),
    [("image/png", picture(0)), ("application/json", json.dumps(ITEMS).encode())],
    ids=["bytes", "json"],
)
def test_prediction_is_as_described(server: str, document: dict[str, Any], type_: str, body: bytes) -> None:
    path = "/v1/models/light:predict"
    content = document["paths"][path]["post"]["requestBody"]["content"]
    assert type_ in content or f"{type_.partition('/')[0]}/*" in content
    with urlopen(Request(server + path, body, {"Content-Type": type_})) as response:
        answer = json.load(response)
    jsonschema.validate(answer, _schema(document, path, "post"))
    assert answer["results"][0]["label"] == "dark"


@pytest.mark.parametrize(
    ("path", "type_", "body"),
    [
        ("/v1/models/light:predict", "image/png", b"no picture"),
        ("/v1/models/light:predict", "text/plain", b"no picture"),
        ("/v1/models/light:predict", "application/json", b"{"),
        ("/v1/models/light:predict", "application/json", json.dumps({"items": [1] * 4}).encode()),
        ("/v2/models/light/infer", "application/json", b"{}"),
        ("/v1/models/light:feedback", "application/json", b"{}"),
    ],
    ids=["422", "415", "400", "413", "infer", "feedback"],
)
def test_refusals_are_as_described(
    server: str, document: dict[str, Any], path: str, type_: str, body: bytes
) -> None:
    with pytest.raises(HTTPError) as caught:
        urlopen(Request(server + path, body, {"Content-Type": type_}))
    with caught.value as refused:
        assert refused.headers["Content-Type"] == PROBLEM_TYPE
        told = json.load(refused)
    jsonschema.validate(told, _schema(document, path, "post", str(refused.status), PROBLEM_TYPE))


def test_what_is_asked_for_is_what_is_taken(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/models/light:predict"]["post"]["requestBody"]["content"]
    schema = body["application/json"]["schema"]
    jsonschema.validate(ITEMS, schema)
    for wrong in ({}, {"items": []}, {"items": ITEMS["items"] * (MOST_ITEMS + 1)}, {**ITEMS, "more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_keys_are_in_the_document_where_they_are_asked_for(light_artifact: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n", encoding="utf-8")
    with served({"light": light_artifact}, api_keys=keys) as address:
        request = Request(f"{address}/openapi.json", headers={"X-API-Key": KEY})
        with urlopen(request) as response:
            told = json.load(response)
    assert told["security"] == [{"bearer": []}, {"header": []}]
