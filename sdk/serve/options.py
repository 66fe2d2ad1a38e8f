"""What a server is told: where it listens, how it batches, and its bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtimes import UsageError
from sdk.inputs.image_decode import MAX_PIXELS
from sdk.serve.monitor_options import MonitorOptions

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
class Connections:
    """What one connection, and all of them together, may take from a server.

    Attributes:
        most: Connections at a time; what comes on top is answered 503.
        header_s: Seconds for a request's first line and headers, and for the first byte on a new connection.
        header_bytes: Their most bytes.
        body_s: Seconds for a body, besides one for every `body_bytes_per_s` that have come.
        body_bytes_per_s: How slow a client may be.
        idle_s: Seconds that a connection is kept between two requests.
        stall_s: Seconds that a client may leave an answer unread.
        held_bytes: Of bodies that are being received or answered, in all connections together; what comes on
            top is answered 429.
    """

    most: int = 1000
    header_s: float = 10.0
    header_bytes: int = 64 * 1024
    body_s: float = 10.0
    body_bytes_per_s: int = 64 * 1024
    idle_s: float = 30.0
    stall_s: float = 30.0
    held_bytes: int = 256 * MEBIBYTE

    def __post_init__(self) -> None:
        _require("--max-connections", self.most, self.most >= 1, "at least 1")
        _require("--request-timeout-s", self.header_s, 0 < self.header_s <= 3600, "from above 0 to 3600")
        _require("--idle-timeout-s", self.idle_s, 0 < self.idle_s <= 3600, "from above 0 to 3600")
        _require("--max-held-mib", self.held_bytes, self.held_bytes >= 1024, "at least 1 KiB")


@dataclass(frozen=True)
class Tls:
    """Where a server's certificate is.

    Attributes:
        cert: PEM file: the certificate, and those between it and the authority.
        key: PEM file of its private key, without a pass phrase.
    """

    cert: Path
    key: Path


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
        max_pixels: Largest picture that is decoded.
        connections: What clients may take.
        tls: Speak HTTPS; None: HTTP.
        api_keys: File of keys, one a line, of which a request has to bring one; None: see `sdk.serve.auth`.
        replicas: Processes that share the address.
        watch_s: Seconds between looks at the artifacts' files, to replace what has changed; None: never.
        grace_s: Seconds after a signal during which a server still takes requests and says that it ends.
        drain_s: Seconds after these in which it answers what it has taken.
        access_log: Whether every request is logged, and not only what fails inside.
        runtime: The engine's own options, as `sdk.Predictor` takes them.
        monitor: What is logged and watched, and which versions share or shadow the models.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    batching: Batching = field(default_factory=Batching)
    deadline_ms: float = 10_000.0
    max_body_bytes: int = 32 * MEBIBYTE
    max_items: int = 256
    max_pixels: int = MAX_PIXELS
    connections: Connections = field(default_factory=Connections)
    tls: Tls | None = None
    api_keys: Path | None = None
    replicas: int = 1
    watch_s: float | None = None
    grace_s: float = 0.5
    drain_s: float = 30.0
    access_log: bool = False
    runtime: dict[str, Any] = field(default_factory=dict)
    monitor: MonitorOptions = field(default_factory=MonitorOptions)

    def __post_init__(self) -> None:
        _require("--port", self.port, 0 <= self.port <= 65535, "from 0 to 65535")
        _require("--deadline-ms", self.deadline_ms, 1 <= self.deadline_ms <= 3_600_000, "from 1 to 3600000")
        _require("--max-body-mib", self.max_body_bytes, self.max_body_bytes >= 1024, "at least 1 KiB")
        _require("--max-items", self.max_items, self.max_items >= 1, "at least 1")
        _require("--max-megapixels", self.max_pixels, self.max_pixels >= 1, "at least one pixel")
        _require("--replicas", self.replicas, 1 <= self.replicas <= 256, "from 1 to 256")
        _require("--watch-s", self.watch_s, self.watch_s is None or 0 < self.watch_s <= 3600, "at most 3600")
        _require("--grace-s", self.grace_s, 0 <= self.grace_s <= 600, "from 0 to 600")
        _require("--drain-s", self.drain_s, 0 <= self.drain_s <= 3600, "from 0 to 3600")


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
