"""Between requests and batches: submits work on the event loop and awaits its answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sdk.serve.batching import ClosedError, DeadlineError, Work
from sdk.serve.metrics import SAMPLED_EVERY_S, Metrics
from sdk.serve.models import ModelTable, Version, VersionObserver
from sdk.serve.options import Named, ServeOptions
from sdk.serve.problems import ProblemError, not_ready
from sdk.serve.routing import Caller, Routing

if TYPE_CHECKING:
    from sdk.serve.monitoring import Monitoring


class _Ticket:
    """The answers of one request, gathered from one batch or from several."""

    __slots__ = ("future", "missing", "outcomes")

    def __init__(self, future: asyncio.Future[list[Any]], works: Sequence[Work]) -> None:
        self.future = future
        self.outcomes: list[Any] = [None] * len(works)
        self.missing = len(works)
        for place, work in enumerate(works):
            work.ticket = (self, place)

    def settle(self, place: int, outcome: Any) -> None:
        self.outcomes[place] = outcome
        self.missing -= 1
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        elif not self.missing:
            self.future.set_result(self.outcomes)


class Service:
    """The models of one process, for one event loop.

    Args:
        options: Bounds.
        loop: On which `answers` is awaited.
        observers: See `ModelTable`.
    """

    def __init__(
        self,
        options: ServeOptions,
        loop: asyncio.AbstractEventLoop,
        observers: Sequence[VersionObserver] = (),
    ) -> None:
        self.options = options
        self.ready = False
        self._loop = loop
        self.metrics = Metrics()
        self.monitoring = self._monitoring()
        observers = (self.metrics.batch, *([self.monitoring.batch] if self.monitoring else []), *observers)
        self.models = ModelTable(options.batching, self._deliver, options.runtime, observers)
        self.routing = Routing(
            options.monitor.challengers,
            ModelTable(options.batching, self._deliver, options.runtime, observers),
            lambda observer: ModelTable(
                options.batching, _to_nobody, options.runtime, (*observers, observer)
            ),
            self.metrics.shadowed,
        )

    def _monitoring(self) -> Monitoring | None:
        if not self.options.monitor.log:
            return None
        from sdk.serve.monitoring import Monitoring  # a server without a log starts sooner without it

        return Monitoring(self.options.monitor, self.metrics)

    def version(self, name: str) -> Version:
        """Who answers for a model now.

        Raises:
            ProblemError: 404; 503 before all models are open.
        """
        try:
            return self.models[name]
        except KeyError:
            if not self.ready:
                raise not_ready() from None
            there = ", ".join(self.models) or "none"
            raise ProblemError(404, f"Model: got {name[:80]!r}, expected one of {there}.") from None

    def open(self, models: Iterable[Named]) -> None:
        """Open every model, and the versions that share or shadow them.

        Raises:
            EdgewrightError: One cannot be opened, or does not give the answers it was proved with.
        """
        for model in models:
            self.models.open(model.name, model.path)
        self.routing.open(self.models)

    def close(self) -> None:
        """Answer everything that waits, and close all."""
        self.models.close()
        self.routing.close()
        if self.monitoring is not None:
            self.monitoring.close()

    def caller(self, headers: Mapping[str, str]) -> Caller | None:
        """Who asks, where that matters: for a log, or for other versions."""
        return Caller.of(headers) if self.monitoring or self.options.monitor.challengers else None

    async def answers(
        self, name: str, works: Sequence[Work], deadline_ms: float, caller: Caller | None = None
    ) -> tuple[Version, list[Any]]:
        """Run `works` and wait for all of them.

        Args:
            name: Of the model.
            works: What to answer.
            deadline_ms: Milliseconds until nobody waits any more.
            caller: Who asks, of `caller`; None where it does not matter.

        Returns:
            The version that answered, and an `Answer` per work.

        Raises:
            ProblemError: 404.
            QueueFullError: There is no room.
            DeadlineError: It took longer than `deadline_ms`.
            EdgewrightError: A work's own error; of several, the first.
        """
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        _Ticket(future, works)
        until = time.monotonic() + deadline_ms / 1000
        for work in works:
            work.deadline_s = until
        version = self._submit(name, works, caller)
        timer = self._loop.call_later(deadline_ms / 1000, _too_late, future)
        try:
            answers = await future
        finally:
            timer.cancel()
        if caller is not None:
            self.routing.ask_shadow(name, works, answers)
        return version, answers

    def sample_metrics(self) -> None:
        """Bring the metrics that are states up to date."""
        versions = [*self.models.versions(), *self.routing.versions()]
        if self.monitoring is not None:
            self.monitoring.sample()
        self.metrics.sample(versions, self.ready, self.options.batching.max_queue)

    async def keep_sampling(self) -> None:
        """Do so for ever: a scrape reaches one replica and is told of all."""
        while True:
            self.sample_metrics()
            await asyncio.sleep(SAMPLED_EVERY_S)

    def _submit(self, name: str, works: Sequence[Work], caller: Caller | None) -> Version:
        while True:
            version = self.version(name)
            try:
                if caller is not None:
                    return self.routing.submit(version, works, caller)
                version.batcher.submit(works)
            except ClosedError:
                if name not in self.models or self.models[name] is version:  # closing for good
                    raise
            else:
                return version

    def _deliver(self, outcomes: list[tuple[Work, Any]]) -> None:
        """Called by a batcher's thread."""
        self._loop.call_soon_threadsafe(_settle, outcomes)


def _settle(outcomes: list[tuple[Work, Any]]) -> None:
    for work, outcome in outcomes:
        if work.ticket is not None:
            ticket, place = work.ticket
            ticket.settle(place, outcome)


def _to_nobody(outcomes: list[tuple[Work, Any]]) -> None:
    """What becomes of a shadow's answers."""


def _too_late(future: asyncio.Future[list[Any]]) -> None:
    if not future.done():
        future.set_exception(DeadlineError())
