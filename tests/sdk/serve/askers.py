"""Clients that ask until they are told to stop, and count what they get."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.sdk.serve.sockets import PATIENCE_S, Line, line_to, picture, post

_ASKED = {"bright": post(picture(250)), "dark": post(picture(5))}


class Askers:
    """Threads that send requests with a known answer over connections that they keep.

    Attributes:
        counts: Answers by status; ``swapped`` for the answer to another question, ``lost`` for a request that
            was sent and got none, ``refused`` for connections that were not accepted.
        versions: Of the models that answered.
        wrong: Bodies of the first answers that were not 200.
    """

    def __init__(self, place: tuple[str, int], count: int) -> None:
        self.counts: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self.wrong: list[bytes] = []
        self._place, self._stop = place, threading.Event()
        self._some = threading.Condition()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, answers: int) -> None:
        """Until there were so many more answers."""
        with self._some:
            wanted = self.counts["200"] + answers
            assert self._some.wait_for(lambda: self.counts["200"] >= wanted, PATIENCE_S), self.counts

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def _ask(self, number: int) -> None:
        while not self._stop.is_set():
            try:
                with line_to(self._place) as line:
                    if not self._ask_on(line, number):
                        return
            except ConnectionRefusedError:
                self._count("refused")
                return
            except ConnectionResetError:  # while connecting: it was in no queue any more
                self._count("refused")
                return

    def _ask_on(self, line: Line, number: int) -> bool:
        """Ask on one connection while it lasts; whether to go on with another."""
        while not self._stop.is_set():
            label, asked = list(_ASKED.items())[number % 2]
            number += 1
            try:
                line.send(asked)
                reply = line.reply()
            except (EOFError, OSError):
                self._count("lost")
                return False
            if reply.status != 200:
                self.wrong.append(reply.body)
                self._count(str(reply.status))
                return False
            told = reply.json
            self.versions[told["version"]] += 1
            self._count("200" if told["results"][0]["label"] == label else "swapped")
            if reply.headers.get("connection") == "close":
                return True
        return False

    def _count(self, what: str) -> None:
        with self._some:
            self.counts[what] += 1
            self._some.notify_all()


@contextmanager
def asking(place: tuple[str, int], count: int) -> Iterator[Askers]:
    """Clients that ask inside of the with-block."""
    askers = Askers(place, count)
    try:
        yield askers
    finally:
        askers.stop()
