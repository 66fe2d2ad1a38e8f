"""The Open Inference Protocol, version 2, over HTTP: the routes under ``/v2`` that existing clients ask.

A model takes the tensors of its graph as they are, or encoded items (`ITEM`) which it prepares by its spec;
of items it can also give the typed results as JSON (`RESULT`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from runtimes import Array, TensorInfo
from sdk import __version__
from sdk.serve.batching import Answer, Work, to_json
from sdk.serve.exchanges import ANSWERED_BY
from sdk.serve.models import Version
from sdk.serve.oip_request import (
    BYTES,
    DATATYPES,
    HEADER_LENGTH,
    InferRequest,
    SentTensor,
    read_request,
    shape_of,
)
from sdk.serve.predict_route import LARGE_BYTES
from sdk.serve.problems import ProblemError, not_ready
from sdk.serve.requests import JSON_TYPE, deadline_of, read_body, require_few
from sdk.serve.service import Service

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

ITEM, RESULT = "item", "result"
"""The input of encoded items, and the output of typed results."""
_BINARY_TYPE = "application/octet-stream"
T = TypeVar("T")


def metadata(version: Version) -> dict[str, Any]:
    """A model as clients of the protocol know it."""
    spec = version.predictor.spec
    items = {"name": ITEM, "datatype": BYTES, "shape": [-1]}
    results = {"name": RESULT, "datatype": BYTES, "shape": [-1]}
    return {
        "name": version.model,
        "versions": [version.label],
        "platform": f"edgewright_{version.predictor.runtime.name}",
        "inputs": [items, *map(_described, spec.graph().inputs)],
        "outputs": [*map(_described, answered_tensors(version)), results],
    }


def answered_tensors(version: Version) -> list[TensorInfo]:
    """The outputs that an answer has: those of a golden sample, which are activated, else the graph's."""
    declared = {info.name: info for info in version.predictor.spec.graph().outputs}
    golden = version.predictor.manifest.samples
    if not golden:
        return list(declared.values())
    first = next(iter(declared.values())).shape[0]
    found = []
    for name, kept in golden[0].outputs.items():
        array = kept.array()
        found.append(declared.get(name) or TensorInfo(name, array.dtype.name, (first, *array.shape)))
    return found


async def infer(service: Service, request: Request) -> Response:
    """Answer an inference request.

    Raises:
        ProblemError, EdgewrightError, …: As `problem_of` takes them.
    """
    from starlette.responses import Response

    version = _asked_for(service, request)
    headers = request.headers
    body = await read_body(request.stream(), headers, service.options.max_body_bytes)
    length, most = headers.get(HEADER_LENGTH), service.options.max_items
    asked, works = await _beside(len(body), _read, version, body, length, most)
    deadline_ms = min(deadline_of(headers, service.options), asked.timeout_ms or service.options.deadline_ms)
    caller = service.caller(headers)
    version, answers = await service.answers(version.model, works, deadline_ms, caller)
    request.scope[ANSWERED_BY] = version.label
    large = sum(array.nbytes for answer in answers for array in answer.outputs.values())
    sent, more = await _beside(large, _answer, version, asked, works, answers)
    return Response(sent, headers=more)


def _asked_for(service: Service, request: Request) -> Version:
    """Who answers for a model, where the address names no other version.

    Raises:
        ProblemError: 404.
    """
    version, label = service.version(request.path_params["name"]), request.path_params.get("version")
    if label not in (None, version.label):
        raise ProblemError(
            404, f"Version: got {str(label)[:80]!r}, expected {version.label}, which is served."
        )
    return version


async def _beside(size: int, do: Callable[..., T], *arguments: Any) -> T:
    """Do something at once, or, where it would hold up everybody, beside the event loop."""
    return do(*arguments) if size <= LARGE_BYTES else await asyncio.to_thread(do, *arguments)


def _read(
    version: Version, body: bytes, length: str | None, most_items: int
) -> tuple[InferRequest, list[Work]]:
    asked = read_request(body, length)
    return asked, _works(version, asked, most_items)


def _works(version: Version, asked: InferRequest, most_items: int) -> list[Work]:
    if ITEM in asked.inputs:
        if len(asked.inputs) > 1:
            raise _bad("Inputs", f"more than {ITEM!r}", "it alone, or the graph's tensors")
        items = asked.inputs[ITEM].elements()
        require_few(len(items), most_items)
        return [Work(item) for item in items]
    arrays = _arrays(version.predictor.spec.graph().inputs, asked.inputs)
    rows = {array.shape[0] if array.ndim else 0 for array in arrays.values()}
    if len(rows) != 1 or 0 in rows:
        raise _bad("Inputs", "different first axes", "a row per item in each")
    (count,) = rows
    require_few(count, most_items)
    if asked.outputs is not None and RESULT in asked.outputs:
        raise _bad(f"Output {RESULT!r}", "it asked of raw tensors", f"of {ITEM!r}")
    return [Work(arrays=arrays, rows=count, encode=False)]


def _arrays(infos: Sequence[TensorInfo], sent: Mapping[str, SentTensor]) -> dict[str, Array]:
    names = [info.name for info in infos]
    if set(sent) != set(names):
        raise _bad("Inputs", str([name[:80] for name in sent][:9]), f"{names} or {[ITEM]}")
    return {info.name: sent[info.name].array(info) for info in infos}


def _answer(
    version: Version, asked: InferRequest, works: Sequence[Work], answers: Sequence[Answer]
) -> tuple[bytes, dict[str, str]]:
    """An answer's body, and its headers."""
    of_items = works[0].arrays is None
    names = [*answers[0].outputs, *([RESULT] if of_items else [])]
    wanted = asked.outputs if asked.outputs is not None else dict.fromkeys(names, asked.binary)
    entries, blocks = [], []
    for name, binary in wanted.items():
        if name not in names:
            raise _bad("Output", repr(name[:80]), f"one of {names}")
        entry, block = _written(name, answers, binary=binary or asked.binary)
        entries.append(entry)
        blocks.append(block)
    data: dict[str, Any] = {"model_name": version.model, "model_version": version.label, "outputs": entries}
    if asked.identity is not None:
        data["id"] = asked.identity
    head, tensors = to_json(data), b"".join(blocks)
    if not tensors:
        return head, {"Content-Type": JSON_TYPE}
    return head + tensors, {"Content-Type": _BINARY_TYPE, HEADER_LENGTH: str(len(head))}


def _written(name: str, answers: Sequence[Answer], *, binary: bool) -> tuple[dict[str, Any], bytes]:
    """An output's entry, and its bytes where these are wanted."""
    if name == RESULT:
        texts = [answer.json for answer in answers]
        entry: dict[str, Any] = {"name": name, "datatype": BYTES, "shape": [len(texts)]}
        block = b"".join([len(text).to_bytes(4, "little") + text for text in texts])
        values: list[Any] = [] if binary else [text.decode() for text in texts]
    else:
        array = _joined(name, [answer.outputs[name] for answer in answers])
        entry = {"name": name, "datatype": DATATYPES[array.dtype.name], "shape": list(array.shape)}
        block = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes() if binary else b""
        values = [] if binary else array.ravel().tolist()
    if binary:
        return {**entry, "parameters": {"binary_data_size": len(block)}}, block
    return {**entry, "data": values}, b""


def _joined(name: str, arrays: Sequence[Array]) -> Array:
    if len({array.shape[1:] for array in arrays}) > 1:
        raise ProblemError(422, f"Output {name!r}: got answers of different shapes, expected one. "
                           f"Ask for {RESULT!r} alone, or send the items one by one.")  # fmt: skip
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _bad(subject: str, got: str, expected: str) -> ProblemError:
    return ProblemError(400, f"{subject}: got {got}, expected {expected}. Correct the request.")


def _described(info: TensorInfo) -> dict[str, Any]:
    return {"name": info.name, "datatype": DATATYPES.get(info.dtype, info.dtype), "shape": shape_of(info)}


def routes(service: Service, answer: Any) -> list[Route]:
    """What is under ``/v2``.

    Args:
        service: Whose models answer.
        answer: `infer` as a route's endpoint.
    """
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def oip_server(_: Request) -> Response:
        return JSONResponse(
            {"name": "edgewright", "version": __version__, "extensions": ["binary_tensor_data"]}
        )

    async def oip_live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def oip_ready(_: Request) -> Response:
        if not service.ready:
            raise not_ready()
        return JSONResponse({"ready": True})

    async def oip_model(request: Request) -> Response:
        return JSONResponse(metadata(_asked_for(service, request)))

    async def oip_model_ready(request: Request) -> Response:
        version = _asked_for(service, request)
        if not service.ready:
            raise not_ready()
        return JSONResponse({"name": version.model, "ready": True})

    found = [
        Route("/v2", oip_server, methods=["GET"]),
        Route("/v2/health/live", oip_live, methods=["GET"]),
        Route("/v2/health/ready", oip_ready, methods=["GET"]),
    ]
    for start in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        found += [
            Route(start, oip_model, methods=["GET"]),
            Route(f"{start}/ready", oip_model_ready, methods=["GET"]),
            Route(f"{start}/infer", answer, methods=["POST"]),
        ]
    return found
