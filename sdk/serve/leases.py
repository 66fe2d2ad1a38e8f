"""Who still works with something that is about to be closed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sdk.serve.batching import ClosedError


class Leases:
    """Counts those at work, and lets whoever closes wait for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held = 0
        self._closed = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Work in the with-block; nothing is closed meanwhile.

        Raises:
            ClosedError: It is closed already.
        """
        with self._changed:
            if self._closed:
                raise ClosedError
            self._held += 1
        try:
            yield
        finally:
            with self._changed:
                self._held -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in any more, and wait for those who are."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._held)
