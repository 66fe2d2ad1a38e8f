"""Between two threads: everything in order and never many at a time, or only ever the newest."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """A hand-over from one thread to another.

    Args:
        ahead: How many entries may wait. Whoever puts one more waits until one was taken.
        newest_wins: Keep one entry, the newest; putting never waits and replaces what was not taken.
    """

    def __init__(self, ahead: int, *, newest_wins: bool = False) -> None:
        self._waiting: deque[T] = deque()
        self._ahead = ahead
        self._newest_wins = newest_wins
        self._changed = threading.Condition()
        self._over = False
        self._error: BaseException | None = None
        self.count = 0
        """Entries that were put, replaced ones among them."""
        self.dropped = 0
        """Entries that were replaced before anybody took them."""

    def put(self, entry: T) -> bool:
        """Hand an entry over.

        Returns:
            Whether there is any use in putting more: False once the feed is closed.
        """
        with self._changed:
            if self._newest_wins:
                self.dropped += len(self._waiting)
                self._waiting.clear()
            else:
                self._changed.wait_for(lambda: self._over or len(self._waiting) < self._ahead)
            if self._over:
                return False
            self._waiting.append(entry)
            self.count += 1
            self._changed.notify_all()
            return True

    def finish(self, error: BaseException | None = None) -> None:
        """Say that nothing more comes: after what still waits, `error` is raised, if there is one."""
        with self._changed:
            if not self._over:
                self._over, self._error = True, error
            self._changed.notify_all()

    def get(self) -> T:
        """Take the oldest entry, waiting for one.

        Raises:
            StopIteration: Nothing more comes.
            BaseException: What `finish` was told, once.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._over or bool(self._waiting))
            if self._waiting:
                entry = self._waiting.popleft()
                self._changed.notify_all()
                return entry
            error, self._error = self._error, None
        if error is not None:
            raise error
        raise StopIteration

    def taken(self) -> Iterator[T]:
        """Entries as they come, until nothing more does; raises as `get`."""
        while True:
            try:
                entry = self.get()
            except StopIteration:
                return
            yield entry

    def close(self) -> None:
        """Throw away what waits, and let both sides go."""
        with self._changed:
            self._over, self._error = True, None
            self._waiting.clear()
            self._changed.notify_all()
