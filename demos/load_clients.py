"""Many clients in one thread: sockets that are never waited for one by one, and answers that are checked.

It uses no HTTP library and takes some ten microseconds of CPU a request, so that on a small machine the load
takes little from the server that it measures. What it cannot read (a chunked answer, say) counts as failed.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

REFUSALS = frozenset({429, 503, 504})
"""With these a server says, as documented, that it does not answer now."""
_HEAD_END = b"\r\n\r\n"
_RETRY_S = 0.02


@dataclass(frozen=True)
class Question:
    """A request that may be sent any number of times.

    Attributes:
        path: Where to.
        content_type: Of the body.
        body: As it is sent.
        right: Whether the JSON of an answer is the one to this question.
        headers: More of them, each ending in CR LF.
        echoes: Whether the answer must carry the request's number, ``"id"`` in its JSON.
    """

    path: str
    content_type: str
    body: bytes
    right: Callable[[Any], bool]
    headers: str = ""
    echoes: bool = True


@dataclass
class LoadReport:
    """What came back.

    Attributes:
        clients: How many asked at the same time.
        wall_s: From the first request to the last answer.
        cpu_s: Seconds of CPU that the clients themselves took.
        right: Answers that were the right one.
        refused: Answers that say "not now", by status.
        wrong: Answers to another question, or none to this.
        lost: Requests on whose connection the server hung up, or was silent for too long.
        failed: Any other answer, by status or by what was wrong with it.
        unreachable: Connections that were not accepted; nothing was asked there.
        latencies_ms: Of the right answers, in the order in which they came.
        examples: Of what went wrong, a few.
    """

    clients: int
    wall_s: float = 0.0
    cpu_s: float = 0.0
    right: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    lost: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    unreachable: int = 0
    latencies_ms: array[float] = field(default_factory=lambda: array("d"))
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether there were right answers, and nothing else but refusals."""
        return self.right > 0 and not (self.wrong or self.lost or self.failed)

    @property
    def per_s(self) -> float:
        """Right answers per second."""
        return self.right / self.wall_s if self.wall_s else 0.0

    @property
    def cpu_share(self) -> float:
        """Of one core, for the clients."""
        return self.cpu_s / self.wall_s if self.wall_s else 0.0

    def percentile_ms(self, share: float) -> float:
        """The latency that so large a share of the right answers did not exceed (nearest rank)."""
        ranked = sorted(self.latencies_ms)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Everything but the single latencies, as plain values."""
        ranks = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
        return {
            "clients": self.clients,
            "wall_s": self.wall_s,
            "per_s": self.per_s,
            "client_cpu_share_of_one_core": self.cpu_share,
            "right": self.right,
            "refused": dict(self.refused),
            "wrong": self.wrong,
            "lost": self.lost,
            "failed": dict(self.failed),
            "unreachable": self.unreachable,
            "latency_ms": {name: self.percentile_ms(share) for name, share in ranks.items()},
            "examples": self.examples,
        }

    def summary(self) -> str:
        """A few lines for people."""
        at = self.to_dict()["latency_ms"]
        rate = f"{self.per_s:,.0f}/s for {self.wall_s:.1f} s"
        lines = [
            f"{self.right:,} right answers to {self.clients} clients: {rate}",
            f"latency ms: p50 {at['p50']:.1f}  p90 {at['p90']:.1f}  p99 {at['p99']:.1f}  max {at['max']:.1f}",
            f"wrong {self.wrong}  lost {self.lost}  failed {dict(self.failed)}  "
            f"refused {dict(self.refused)}  unreachable {self.unreachable}",
            f"the clients themselves took {self.cpu_share:.0%} of one core",
        ]
        return "\n".join([*lines, *self.examples])


class Load:
    """Clients of one server.

    Args:
        address: Host and port.
        questions: Asked in turn; each client begins with another one.
        clients: How many connections.
        silence_s: After so long without an answer a request counts as lost.
    """

    def __init__(
        self,
        address: tuple[str, int],
        questions: Sequence[Question],
        *,
        clients: int,
        silence_s: float = 30.0,
    ) -> None:
        self._address, self._silence_s = address, silence_s
        host = f"{address[0]}:{address[1]}"
        self._asked = [_Asked(question, host) for question in questions]
        self.clients = clients

    def run(self, *, seconds: float, requests: int = 10_000_000) -> LoadReport:
        """Ask until so many seconds have passed or requests are sent, then wait for what is on its way."""
        report = LoadReport(self.clients)
        self._sent, self._most = 0, requests
        self._closed: list[_Client] = []
        with selectors.DefaultSelector() as self._selector:
            begun, cpu = time.perf_counter(), time.process_time()
            self._until = begun + seconds
            for number in range(self.clients):
                self._open(_Client(number), report)
            self._turn(report)
            report.wall_s = time.perf_counter() - begun
            report.cpu_s = time.process_time() - cpu
        return report

    def _turn(self, report: LoadReport) -> None:
        while self._selector.get_map() or self._closed:
            ready = self._selector.select(0.25 if not self._closed else _RETRY_S)
            for key, _ in ready:
                self._hear(key.data, report)
            if self._closed:
                waiting, self._closed = self._closed, []
                for client in waiting:
                    self._open(client, report)
            if not ready:
                self._give_up_on_silence(report)

    def _more(self) -> bool:
        return self._sent < self._most and time.perf_counter() < self._until

    def _open(self, client: _Client, report: LoadReport) -> None:
        if not self._more():
            return
        try:
            client.socket = socket.create_connection(self._address, timeout=self._silence_s)
        except OSError:
            report.unreachable += 1
            self._closed.append(client)
            return
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(client.socket, selectors.EVENT_READ, client)
        self._ask(client, report)

    def _ask(self, client: _Client, report: LoadReport) -> None:
        if not self._more():
            self._hang_up(client)
            return
        asked = self._asked[(client.number + client.turns * 7) % len(self._asked)]
        client.turns += 1
        self._sent += 1
        client.asked, client.token, client.heard = asked, b"q%d-%d" % (client.number, client.turns), b""
        client.begun = time.perf_counter()
        try:
            client.socket.sendall(asked.before + client.token + asked.after)
        except OSError:
            self._lose(client, report, "the connection broke while asking")

    def _hear(self, client: _Client, report: LoadReport) -> None:
        try:
            part = client.socket.recv(1 << 18)
        except OSError:
            part = b""
        if not part:
            self._lose(client, report, "the server hung up")
            return
        client.heard = heard = client.heard + part if client.heard else part
        end = heard.find(_HEAD_END)
        if end < 0:
            return
        head = heard[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else -1
        if length >= 0 and len(heard) < end + 4 + length:
            return
        now = time.perf_counter()
        self._judge(client, report, int(head[9:12]), heard[end + 4 :], now - client.begun)
        if length < 0 or b"connection: close" in head:
            self._hang_up(client)
            self._closed.append(client)
        else:
            self._ask(client, report)

    def _judge(self, client: _Client, report: LoadReport, status: int, body: bytes, seconds: float) -> None:
        if status in REFUSALS:
            report.refused[status] += 1
        elif status != 200:
            report.failed[str(status)] += 1
            _note(report, f"status {status}: {body[:200]!r}")
        elif client.asked.is_right(body, client.token):
            report.right += 1
            report.latencies_ms.append(seconds * 1000)
        else:
            report.wrong += 1
            _note(report, f"wrong answer to {client.token!r}: {body[:200]!r}")

    def _give_up_on_silence(self, report: LoadReport) -> None:
        late = time.perf_counter() - self._silence_s
        for key in list(self._selector.get_map().values()):
            if key.data.begun < late:
                self._lose(key.data, report, f"no answer in {self._silence_s:g} s")

    def _lose(self, client: _Client, report: LoadReport, why: str) -> None:
        report.lost += 1
        _note(report, f"lost {client.token!r}: {why}")
        self._hang_up(client)
        self._closed.append(client)

    def _hang_up(self, client: _Client) -> None:
        self._selector.unregister(client.socket)
        client.socket.close()


class _Asked:
    """A question as bytes, and the answers to it that were found right."""

    def __init__(self, question: Question, host: str) -> None:
        self.before = (
            f"POST {question.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {question.content_type}\r\n"
            f"Content-Length: {len(question.body)}\r\n{question.headers}X-Request-Id: "
        ).encode()
        self.after = _HEAD_END + question.body
        self._question = question
        self._known: set[bytes] = set()

    def is_right(self, body: bytes, token: bytes) -> bool:
        """Parses only what it has not seen before: the same item gives the same bytes but for the number."""
        if self._question.echoes:
            marked = b'"id":"%b"' % token
            if marked not in body:
                return False
            body = body.replace(marked, b'"id":""')
        if body in self._known:
            return True
        try:
            right = self._question.right(json.loads(body))
        except (ValueError, KeyError, TypeError, IndexError):
            right = False
        if right and len(self._known) < 1000:
            self._known.add(body)
        return right


@dataclass(eq=False)
class _Client:
    number: int
    turns: int = 0
    token: bytes = b""
    heard: bytes = b""
    begun: float = 0.0
    asked: _Asked = field(init=False)
    socket: socket.socket = field(init=False)


def _note(report: LoadReport, what: str) -> None:
    if len(report.examples) < 5:
        report.examples.append(what)
