"""Bounds on what one connection may take: uvicorn's HTTP protocol, with clocks and scales around it.

uvicorn waits for ever for a request that has begun, and takes bodies of any length. Here a request has to
arrive within `Connections`, an answer has to be read, and what is refused is refused with an answer that
the client gets to read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from runtimes import UsageError
from sdk.serve.problems import PROBLEM_TYPE, TITLES, ProblemError
from sdk.serve.traffic import REASONS, Traffic

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Base
else:
    _Base = object

_LOG = logging.getLogger(__name__)
_LINGER_S = 2.0
"""How long what a refused client still sends is thrown away: closed at once, it would lose the answer."""
_LATER = {"Retry-After": "1"}
_SERVER_FULL = ProblemError(503, "Server: got more connections than it takes. Come back later.", _LATER)
_MALFORMED = ProblemError(400, "Request: got what is no HTTP/1.1, expected a request. Correct the client.")


class _RefusedError(Exception):
    """Ends the parser's work on what has been refused."""


class _Stage(Enum):
    """What of a request is arriving."""

    NOTHING = 0
    HEAD = 1
    BODY = 2


class _Transport:
    """A connection's transport, of which `close` lets the client read its answer first."""

    def __init__(self, transport: Any, protocol: BoundedProtocol) -> None:
        self._transport, self._close = transport, protocol.close_gently
        self.write, self.closing = transport.write, False

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self._close()

    def close_now(self) -> None:
        self._transport.close()

    def is_closing(self) -> bool:
        return self.closing or bool(self._transport.is_closing())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class BoundedProtocol(_Base):  # type: ignore[misc] # uvicorn is optional, and so untyped
    """Mixed into uvicorn's protocol by `bounded_protocol`.

    Class attributes:
        traffic: Shared by all connections.
        httptools: The parser's package.
    """

    traffic: Traffic
    httptools: Any
    parser: Any

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._stage = _Stage.NOTHING
        self._head_bytes = self._body_bytes = self._held_bytes = 0
        self._since_s = 0.0
        self._unanswered = 0
        self._deaf = False  # what comes is thrown away
        self._ends = False  # the connection is closed when all is answered
        self._clock: asyncio.TimerHandle | None = None
        self._last_clock: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether a request has begun that is not answered."""
        return self._unanswered > 0 or self._stage is not _Stage.NOTHING

    @property
    def asked(self) -> bool:
        """Whether there has ever been a request on it."""
        return self.cycle is not None

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    # The connection

    def connection_made(self, transport: Any) -> None:
        """Count it, and wait for its first byte."""
        super().connection_made(_Transport(transport, self))
        most = self.traffic.bounds.most
        if len(self.connections) > 2 * most:  # even saying so costs
            transport.abort()
        elif len(self.connections) > most:
            self._answer(_SERVER_FULL)
        else:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.traffic.bounds.header_s, self.timeout_keep_alive_handler
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what it held."""
        for clock in (self._clock, self._last_clock, self.timeout_keep_alive_task):
            if clock is not None:
                clock.cancel()
        self._release()
        self.transport.closing = True
        super().connection_lost(exc)

    def eof_received(self) -> bool:
        """Answer clients that only closed their own direction; TLS has no such thing."""
        if self._stage is _Stage.NOTHING and self._unanswered and self.scheme == "http":
            self.cycle.keep_alive = False
            return True
        return False

    def pause_writing(self) -> None:
        """Give up on a client that does not read."""
        super().pause_writing()
        self._abort_after(self.traffic.bounds.stall_s)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        if self._last_clock is not None and not self.transport.closing:
            self._last_clock.cancel()
            self._last_clock = None

    def close_gently(self) -> None:
        """Close when the answer is sent; with a request half received, when its client had time to read."""
        transport = self.transport
        if self._stage is _Stage.NOTHING and not self._deaf:
            transport.close_now()
            if transport.get_write_buffer_size():
                self._abort_after(self.traffic.bounds.stall_s)
            return
        self._deaf = True
        if transport.can_write_eof():
            transport.write_eof()
        self.flow.resume_reading()
        self._abort_after(_LINGER_S)

    def _abort_after(self, seconds: float) -> None:
        if self._last_clock is not None:
            self._last_clock.cancel()
        self._last_clock = self.loop.call_later(seconds, self.transport.abort)

    # What arrives

    def data_received(self, data: bytes) -> None:
        """Parse what came, and start the clock where it ends inside of a request."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._deaf:
            return
        if self._stage is _Stage.NOTHING:
            if self._clock is not None:
                self._clock.cancel()
                self._clock = None
            return
        if self._stage is _Stage.HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > self.traffic.bounds.header_bytes:
                self._refuse(431, f"Headers: got {self._head_bytes:,} bytes and more. Send fewer.")
                return
        if self._clock is None:
            self._since_s = self.loop.time()
            self._clock = self.loop.call_at(self._due_s(), self._look_at_clock)

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except self.httptools.HttpParserUpgrade as upgrade:
            self._feed_without_upgrade(data[upgrade.args[0] :])
        except self.httptools.HttpParserError:
            if not self._deaf:
                self._refuse(_MALFORMED.status, _MALFORMED.detail)

    def _feed_without_upgrade(self, rest: bytes) -> None:
        """Parse a request again as if it did not offer another protocol, which nobody has to take.

        The parser takes its body for that protocol. Java's own client makes this offer to every server.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(_MALFORMED.status, _MALFORMED.detail)
            return
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % pair for pair in self.headers if pair[0] not in (b"connection", b"upgrade")]
        self.parser = self.httptools.HttpRequestParser(self)
        self._feed(b"\r\n".join([*lines, b"", rest]))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._stage = _Stage.HEAD
        self._head_bytes = self._body_bytes = 0

    def on_headers_complete(self) -> None:
        """Its route is called; it reads the body as it comes."""
        if self.parser.should_upgrade():
            return  # and is parsed again
        super().on_headers_complete()
        self._stage = _Stage.BODY
        self._unanswered += 1
        if self.traffic.draining:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Weigh a piece of it."""
        traffic = self.traffic
        self._body_bytes += len(body)
        if self._body_bytes > traffic.max_body_bytes:
            self._refuse(413, f"Body: got over {traffic.max_body_bytes:,} bytes. Send less, or raise "
                         "--max-body-mib.")  # fmt: skip
            raise _RefusedError
        if traffic.held_bytes + len(body) > traffic.bounds.held_bytes:
            self._refuse(429, "The server holds as many bytes as it may. Come back in 1 s.", _LATER)
            raise _RefusedError
        self._held_bytes += len(body)
        traffic.held_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is here."""
        if self.parser.should_upgrade():
            return
        self._stage = _Stage.NOTHING
        if not self._unanswered:  # answered before all of it was here
            self._release()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """It is answered."""
        self._unanswered -= 1
        if not self._unanswered:
            self._release()
            if self._ends:
                self.transport.close()
        super().on_response_complete()

    def shutdown(self) -> None:
        """Close now if nothing has begun, else after the answer."""
        if self.busy:
            if self.cycle is not None:
                self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _release(self) -> None:
        self.traffic.held_bytes -= self._held_bytes
        self._held_bytes = 0

    # What is refused

    def _due_s(self) -> float:
        bounds = self.traffic.bounds
        if self._stage is _Stage.HEAD:
            return self._since_s + bounds.header_s
        body_s = bounds.body_s + self._body_bytes / bounds.body_bytes_per_s
        return self._since_s + bounds.header_s + body_s

    def _look_at_clock(self) -> None:
        self._clock = None
        if self._stage is _Stage.NOTHING or self._deaf:
            return
        now, due = self.loop.time(), self._due_s()
        if now < due:
            self._clock = self.loop.call_at(due, self._look_at_clock)
        elif self.flow.read_paused:  # we keep it waiting, with requests before it
            self._since_s = now
            self._clock = self.loop.call_at(self._due_s(), self._look_at_clock)
        else:
            self._refuse(408, "Request: got a part, and no more for too long. Send it faster.")

    def _refuse(self, status: int, detail: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        """Answer the request that is arriving, after those before it, and close."""
        arriving, self._deaf = self.cycle, True
        self._unset_keepalive_if_required()
        if self._stage is _Stage.BODY:
            answered = arriving.response_started
            if not arriving.response_complete:
                self._unanswered -= 1
            arriving.disconnected = True
            arriving.message_event.set()
            if self.pipeline and self.pipeline[0][0] is arriving:
                self.pipeline.popleft()
            if answered:
                self.transport.close()
                return
        if self._unanswered:
            # Its answer would be read as the one to a request before it: those are answered, then it closes.
            self._ends = True
            return
        self._answer(ProblemError(status, detail, headers))

    def _answer(self, problem: ProblemError) -> None:
        """Write an answer past all routes, and close."""
        self.traffic.on_refused(REASONS[problem.status])
        self._deaf = True
        body = problem.body()
        headers = {**problem.headers, "Content-Type": PROBLEM_TYPE, "Connection": "close",
                   "Content-Length": str(len(body))}  # fmt: skip
        lines = [f"HTTP/1.1 {problem.status} {TITLES[problem.status]}"]
        lines += [f"{name.lower()}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()


def bounded_protocol(traffic: Traffic) -> type[BoundedProtocol]:
    """The protocol class of one server.

    Args:
        traffic: Shared by its connections.

    Raises:
        UsageError: uvicorn is not installed.
    """
    try:
        import httptools
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError as error:
        raise UsageError("edgewright serve", got="no uvicorn with httptools installed",
                         expected="the extra 'serve'",
                         fix="Run: pip install 'edgewright[serve,onnx]'.") from error  # fmt: skip
    members = {"traffic": traffic, "httptools": httptools}
    return type("Protocol", (BoundedProtocol, HttpToolsProtocol), members)
