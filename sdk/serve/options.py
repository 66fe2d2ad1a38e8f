"""What a server is told: where it listens, how it batches, and its bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtimes import UsageError

MEBIBYTE = 1024**2


@dataclass(frozen=True)
class Batching:
    """How requests share calls of a graph.

    Attributes:
        max_batch: Most items in one call; an artifact may allow fewer.
        max_wait_ms: How long the first item of a batch waits for others while a worker is free. With 0 a free
            worker takes what is there: batches then form while it works, and nobody waits for nothing.
        max_queue: Items that may wait, of one model; what comes on top is told to come back later.
        workers: Threads that run batches, of one model: with two, one decodes while the other computes.
    """

    max_batch: int = 32
    max_wait_ms: float = 0.0
    max_queue: int = 512
    workers: int = 1

    def __post_init__(self) -> None:
        _require("--max-batch", self.max_batch, self.max_batch >= 1, "at least 1")
        _require("--max-wait-ms", self.max_wait_ms, 0 <= self.max_wait_ms <= 10_000, "from 0 to 10000")
        enough = self.max_queue >= self.max_batch
        _require("--max-queue", self.max_queue, enough, f"at least --max-batch ({self.max_batch})")
        _require("--workers", self.workers, 1 <= self.workers <= 64, "from 1 to 64")


@dataclass(frozen=True)
class ServeOptions:
    """Everything that `edgewright serve` can be told about one server process.

    Attributes:
        host: Address to listen on.
        port: TCP port; 0 lets the system choose one.
        batching: How requests share calls.
        deadline_ms: After so long a request is answered with 504; a client may ask for less.
        max_body_bytes: Largest body of a request.
        max_items: Most items of one request.
        runtime: The engine's own options, as `sdk.Predictor` takes them.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    batching: Batching = field(default_factory=Batching)
    deadline_ms: float = 10_000.0
    max_body_bytes: int = 32 * MEBIBYTE
    max_items: int = 256
    runtime: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require("--port", self.port, 0 <= self.port <= 65535, "from 0 to 65535")
        _require("--deadline-ms", self.deadline_ms, 1 <= self.deadline_ms <= 3_600_000, "from 1 to 3600000")
        _require("--max-body-mib", self.max_body_bytes, self.max_body_bytes >= 1024, "at least 1 KiB")
        _require("--max-items", self.max_items, self.max_items >= 1, "at least 1")


@dataclass(frozen=True)
class Named:
    """A model to serve: the name in its address, and its file."""

    name: str
    path: Path


def named(words: list[str]) -> list[Named]:
    """Models as a command line names them: ``FILE``, called by its stem, or ``NAME=FILE``.

    Raises:
        UsageError: A name is no part of an address, or there twice.
    """
    models: list[Named] = []
    for word in words:
        name, sign, file = word.partition("=")
        model = Named(name, Path(file)) if sign else Named(Path(word).stem, Path(word))
        plain = model.name.replace("-", "").replace("_", "").replace(".", "")
        if not (plain.isascii() and plain.isalnum()):
            raise UsageError("Model name", got=repr(model.name), expected="letters, digits, '.', '_' and '-'",
                             fix="Name it: serve NAME=FILE.")  # fmt: skip
        if model.name in [other.name for other in models]:
            raise UsageError("Model name", got=f"{model.name!r} twice", expected="a name per model",
                             fix="Name them: serve A=FILE B=FILE.")  # fmt: skip
        models.append(model)
    return models


def _require(option: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise UsageError(f"Option {option}", got=str(value), expected=expected, fix="Choose another.")
