"""Two versions of a model at once: some clients are answered by another one (A/B), or another one is asked
the same without anybody seeing its answers (shadow).
"""

from __future__ import annotations

import os
import sys
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from runtimes import UsageError
from sdk.monitor.log_tables import AB, MAIN, SHADOW
from sdk.monitor.prediction_log import features_of, sampled
from sdk.monitor.split import same_answer
from sdk.serve.batching import Answer, BatchRecord, ClosedError, QueueFullError, Work
from sdk.serve.models import ModelTable, Version, VersionObserver
from sdk.serve.monitor_options import Challenger

T = TypeVar("T")
_NICENESS = 10
"""Of a shadow's threads: it works with what the others leave."""


class Caller(NamedTuple):
    """Who asks.

    Attributes:
        request: The request's id.
        client: What a client calls itself (X-Client-Id); empty: nobody knows.
    """

    request: str
    client: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Caller:
        """By a request's headers; one without an id gets one."""
        return cls(headers.get("x-request-id") or uuid.uuid4().hex, headers.get("x-client-id", ""))


class Origin(NamedTuple):
    """Where a piece of work comes from; observers find it as `Work.origin`.

    Attributes:
        request: Id of the request.
        place: Which of its items.
        route: `MAIN`, `AB` or `SHADOW`.
        answer: For a shadow, what the model itself answered.
    """

    request: str
    place: int
    route: str
    answer: Answer | None = None


class Routing:
    """Who answers, and who is asked besides.

    Args:
        challengers: The other versions.
        answering: A table for those that answer.
        silent: Makes a table for shadows, with this observer: it delivers to nobody.
        counted: Told (model, version, outcome, count) of shadows: ``agrees``, ``differs``, ``failed``,
            ``dropped``.
    """

    def __init__(
        self,
        challengers: Sequence[Challenger],
        answering: ModelTable,
        silent: Callable[[VersionObserver], ModelTable],
        counted: Callable[[str, str, str, int], None],
    ) -> None:
        self._challengers = tuple(challengers)
        self._shares = {one.name: one.share for one in challengers if one.share is not None}
        self._answering, self._counted = answering, counted
        self._silent = silent(self._compare)

    def open(self, models: ModelTable) -> None:
        """Open the challengers.

        Raises:
            EdgewrightError: One cannot be opened, or is of another kind than its model.
        """
        for one in self._challengers:
            if one.share is None:
                version = _gently(lambda one=one: self._silent.open(one.name, one.path))  # type: ignore[misc]
            else:
                version = self._answering.open(one.name, one.path)
            _require_like(version, models[one.name])

    def close(self) -> None:
        """Answer what clients wait for, and close all."""
        self._answering.close()
        for name in self._silent:
            shadow = self._silent[name]
            self._counted(name, shadow.label, "dropped", shadow.batcher.abandon())
        self._silent.close()

    def versions(self) -> list[Version]:
        """All challengers."""
        return [*self._answering.versions(), *self._silent.versions()]

    def submit(self, main: Version, works: Sequence[Work], caller: Caller) -> Version:
        """Queue a request's work with whoever answers this caller.

        Raises:
            QueueFullError: There is no room.
            ClosedError: The version has been replaced.
        """
        share = self._shares.get(main.model)
        chosen, route = main, MAIN
        who = f"{main.model}\0{caller.client or caller.request}"
        if share is not None and main.model in self._answering and sampled(who, share):
            chosen, route = self._answering[main.model], AB
        for place, work in enumerate(works):
            work.origin = Origin(caller.request, place, route)
        chosen.batcher.submit(works)
        return chosen

    def ask_shadow(self, model: str, works: Sequence[Work], answers: Sequence[Answer]) -> None:
        """Ask a model's shadow what was answered already: it can neither delay the answer nor spoil it."""
        if model not in self._silent:
            return
        shadow = self._silent[model]
        asked = [
            Work(work.item, encode=False, origin=work.origin._replace(route=SHADOW, answer=answer))
            for work, answer in zip(works, answers, strict=True)
            if work.arrays is None and work.origin is not None
        ]
        try:
            shadow.batcher.submit(asked)
        except (QueueFullError, ClosedError):
            self._counted(model, shadow.label, "dropped", len(asked))

    def _compare(self, version: Version, record: BatchRecord) -> None:
        """Count how often a shadow agrees; an observer of the table of shadows."""
        spec = version.predictor.spec
        for work, outcome in zip(record.works, record.outcomes, strict=True):
            answer = work.origin.answer if work.origin is not None else None
            if not isinstance(outcome, Answer) or work.sample is None or answer is None:
                self._counted(version.model, version.label, "failed", 1)
                continue
            pair = [features_of(spec, work.sample, result) for result in (answer.result, outcome.result)]
            told = "agrees" if same_answer(*pair) else "differs"
            self._counted(version.model, version.label, told, 1)


def _require_like(version: Version, main: Version) -> None:
    kinds = [(one.predictor.spec.input.kind, one.predictor.spec.output.kind) for one in (version, main)]
    if kinds[0] != kinds[1]:
        raise UsageError(
            f"Challenger {version.path.name!r}",
            got=f"inputs and outputs of kinds {kinds[0]}",
            expected=f"those of {main.path.name!r}, {kinds[1]}",
            fix="Serve it under a name of its own.",
        )


def _gently(work: Callable[[], T]) -> T:
    """Run `work` in a thread of low priority, which the threads that it starts inherit (on Linux)."""
    done: list[Any] = []

    def run() -> None:
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            done.append((work(), None))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            done.append((None, error))

    thread = threading.Thread(target=run, name="shadow-opening")
    thread.start()
    thread.join()
    found, error = done[0]
    if error is not None:
        raise error
    value: T = found
    return value
