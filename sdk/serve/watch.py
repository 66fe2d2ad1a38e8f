"""Replaces a served model when its file changes, without losing a request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from runtimes import EdgewrightError
from sdk.serve.models import ModelTable
from sdk.serve.options import Named

_LOG = logging.getLogger(__name__)


class _Look(NamedTuple):
    """What tells one state of a file from another."""

    inode: int
    size_bytes: int
    changed_ns: int


class Watcher:
    """Looks at the files of models, and opens what is new.

    A new version is proved and warmed before it takes over, and the old one answers what it has taken. A file
    that cannot be opened, or does not pass its proof, changes nothing: the log and a metric say so, once.

    Args:
        models: What is served.
        table: Where it is served from.
        told: Given each attempt's model and whether it went well.
    """

    def __init__(
        self, models: Sequence[Named], table: ModelTable, told: Callable[[str, bool], None] = lambda *_: None
    ) -> None:
        self._models, self._table, self._told = tuple(models), table, told
        self._seen = {model.name: _look(model.path) for model in models}
        self._swapping = asyncio.Lock()

    async def keep_looking(self, every_s: float) -> None:
        """Look for ever. A file has to be the same in two looks: it may still be being written."""
        before = dict(self._seen)
        while True:
            await asyncio.sleep(every_s)
            now = {model.name: _look(model.path) for model in self._models}
            await self._swap([model for model in self._models if now[model.name] == before[model.name]])
            before = now

    async def look(self) -> None:
        """Look once, now, and take every file for complete."""
        await self._swap(self._models)

    async def _swap(self, models: Sequence[Named]) -> None:
        async with self._swapping:
            for model in models:
                look = _look(model.path)
                if look != self._seen[model.name]:
                    self._seen[model.name] = look
                    await asyncio.get_running_loop().run_in_executor(None, self._replace, model)

    def _replace(self, model: Named) -> None:
        old = self._table[model.name].label
        try:
            new = self._table.open(model.name, model.path).label
        except Exception as error:  # noqa: BLE001 - whatever a file does to us, the old version answers on
            known = isinstance(error, EdgewrightError)
            fields = {"model": model.name, "version": old, "reason": str(error) if known else repr(error)}
            _LOG.error("swap_refused", exc_info=None if known else error, extra={"fields": fields})
            self._told(model.name, False)
        else:
            _LOG.info("swapped", extra={"fields": {"model": model.name, "version": new, "before": old}})
            self._told(model.name, True)


def _look(path: Path) -> _Look | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _Look(found.st_ino, found.st_size, found.st_mtime_ns)
