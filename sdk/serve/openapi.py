"""The OpenAPI document of a server: a path for each model that is served, typed by its artifact's spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdk import __version__
from sdk.schemas import COUNT, NUMBER, TEXT, Schema, listed, or_null, record
from sdk.serve.feedback import FEEDBACK_SCHEMA
from sdk.serve.generate_route import EVENTS_TYPE, GENERATE_SCHEMA
from sdk.serve.models import Version
from sdk.serve.oip_request import BYTES, DATATYPES
from sdk.serve.options import ServeOptions
from sdk.serve.problems import PROBLEM_TYPE, TITLES
from sdk.serve.requests import FORM_TYPE, JSON_TYPE
from sdk.serve.service import Service

_PROBLEM: Schema = record({"type": TEXT, "title": TEXT, "status": COUNT, "detail": TEXT, "error": TEXT})
_FILE: Schema = {"type": "string", "format": "binary"}
_ANYTHING: Schema = {"type": "object"}
_PARAMETERS = {"X-Request-Id": {**TEXT, "minLength": 1, "maxLength": 128, "pattern": "^[ -~]+$"},
               "X-Deadline-Ms": {**NUMBER, "exclusiveMinimum": 0}}  # fmt: skip
_EVERYWHERE = (400, 401, 404, 405, 408, 413, 431, 500, 503)
_POSTED = (*_EVERYWHERE, 411, 415, 422, 429, 504)


def document(service: Service, *, keyed: bool) -> dict[str, Any]:
    """OpenAPI 3.1 of what a server answers now.

    Args:
        service: Whose models are described.
        keyed: Whether an API key is asked for.
    """
    paths = dict(_server_paths())
    for name in service.models:
        paths.update(_model_paths(service.models[name], service.options))
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Edgewright", "version": __version__},
        "paths": paths,
        "components": {"schemas": {"Problem": _PROBLEM, "Tensor": _tensor()}},
    }
    if keyed:
        found["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        found["security"] = [{"bearer": []}, {"header": []}]
    return found


def _server_paths() -> dict[str, Any]:
    live = record({"status": {"const": "live"}})
    ready = record({"status": {"const": "ready"}})
    text = {"schema": TEXT}
    figures = _responses({"text/plain": text, "application/openmetrics-text": text}, _EVERYWHERE)
    oip = record({"name": TEXT, "version": TEXT, "extensions": listed(TEXT)})
    return {
        "/v1/models": _get("Every model that is served", record({"models": listed(_ANYTHING)})),
        "/health/live": _get("Whether the process answers at all", live),
        "/health/ready": _get("Whether it takes requests", ready),
        "/metrics": {"get": {"summary": "Figures for Prometheus", "responses": figures}},
        "/v2": _get("The server, for clients of the Open Inference Protocol", oip),
        "/v2/health/live": _get("Whether the process answers at all", record({"live": {"const": True}})),
        "/v2/health/ready": _get("Whether it takes requests", record({"ready": {"const": True}})),
    }  # fmt: skip


def _model_paths(version: Version, options: ServeOptions) -> dict[str, Any]:
    name, spec = version.model, version.predictor.spec
    first, second = f"/v1/models/{name}", f"/v2/models/{name}"
    summary = f"Answers of {name}: {spec.task}"
    tensors = record({"name": TEXT, "datatype": TEXT, "shape": listed({"type": "integer"})})
    metadata = record({"name": TEXT, "versions": listed(TEXT), "platform": TEXT,
                       "inputs": listed(tensors), "outputs": listed(tensors)})  # fmt: skip
    feedback = {JSON_TYPE: {"schema": FEEDBACK_SCHEMA}}
    return {
        first: _get("Version, contract and proof of a model", _ANYTHING),
        f"{first}:predict": _post(
            summary, _bodies(version, options), {JSON_TYPE: {"schema": _answer(version)}}
        ),
        f"{first}:feedback": _post(
            "What was true of answers", feedback, {JSON_TYPE: {"schema": record({"recorded": COUNT})}}
        ),
        **({f"{first}:generate": _generate(version)} if spec.output.writes else {}),
        second: _get("A model, for clients of the Open Inference Protocol", metadata),
        f"{second}/ready": _get("Whether it answers", record({"name": TEXT, "ready": {"const": True}})),
        f"{second}/infer": _post(
            f"{summary}, as tensors",
            {JSON_TYPE: {"schema": _infer_request()}},
            {JSON_TYPE: {"schema": _infer_answer()}, "application/octet-stream": {"schema": _FILE}},
        ),
    }


def _generate(version: Version) -> dict[str, Any]:
    result = version.predictor.spec.output.json_schema()
    text = record({"model": {"const": version.model}, "version": TEXT, "result": result, "id": TEXT})
    written = {
        JSON_TYPE: {"schema": {**text, "required": ["model", "version", "result"]}},
        EVENTS_TYPE: {"schema": TEXT},
    }
    return _post(f"Text of {version.model}", {JSON_TYPE: {"schema": GENERATE_SCHEMA}}, written)


def _bodies(version: Version, options: ServeOptions) -> dict[str, Any]:
    """What `:predict` takes, by media type."""
    kind = version.predictor.spec.input
    items = listed(kind.json_schema(), least=1, most=options.max_items)
    form = {"type": "object", "additionalProperties": _FILE, "minProperties": 1}
    return {
        **{type_: {"schema": _FILE} for type_ in kind.media_types},
        FORM_TYPE: {"schema": form},
        JSON_TYPE: {"schema": record({"items": items})},
    }


def _answer(version: Version) -> Schema:
    result = version.predictor.spec.output.json_schema()
    fields = record(
        {"model": {"const": version.model}, "version": TEXT, "results": listed(result), "id": TEXT}
    )
    return {**fields, "required": ["model", "version", "results"]}


def _tensor() -> Schema:
    datatype = {"type": "string", "enum": [*DATATYPES.values(), BYTES]}
    fields = record({"name": TEXT, "datatype": datatype, "shape": listed(COUNT),
                     "data": {"type": "array"}, "parameters": _ANYTHING})  # fmt: skip
    return {**fields, "required": ["name", "datatype", "shape"]}


def _infer_request() -> Schema:
    output = {**record({"name": TEXT, "parameters": _ANYTHING}), "required": ["name"]}
    fields = record({"id": TEXT, "parameters": _ANYTHING,
                     "inputs": listed({"$ref": "#/components/schemas/Tensor"}, least=1),
                     "outputs": listed(output)})  # fmt: skip
    return {**fields, "required": ["inputs"]}


def _infer_answer() -> Schema:
    fields = record({"model_name": TEXT, "model_version": TEXT, "id": or_null(TEXT),
                     "outputs": listed({"$ref": "#/components/schemas/Tensor"})})  # fmt: skip
    return {**fields, "required": ["model_name", "outputs"]}


def _get(summary: str, schema: Schema) -> dict[str, Any]:
    return {
        "get": {"summary": summary, "responses": _responses({JSON_TYPE: {"schema": schema}}, _EVERYWHERE)}
    }


def _post(summary: str, bodies: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "header", "required": False, "schema": schema}
        for name, schema in _PARAMETERS.items()
    ]
    return {"post": {
        "summary": summary,
        "parameters": parameters,
        "requestBody": {"required": True, "content": dict(bodies)},
        "responses": _responses(answers, _POSTED),
    }}  # fmt: skip


def _responses(answers: Mapping[str, Any], refusals: tuple[int, ...]) -> dict[str, Any]:
    problem = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "200": {"description": "Done", "content": dict(answers)},
        **{
            str(status): {"description": TITLES.get(status, "Refused"), "content": problem}
            for status in sorted(refusals)
        },
    }
