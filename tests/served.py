"""A server in a thread of this process, for tests that ask it over a real socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sdk.inputs.image_decode import LIMIT
from sdk.serve.options import Named, ServeOptions
from sdk.serve.server import Orders, address_of, answer, bind

MOST_S = 30.0


@dataclass
class Running:
    """A server that answers.

    Attributes:
        address: Its URL, without a path.
        orders: To be given by `order`.
        loop: Its thread's.
        thread: Which ends with it.
        codes: Its exit code, once it has ended.
    """

    address: str
    orders: Orders
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    codes: list[int]

    @property
    def place(self) -> tuple[str, int]:
        """Host and port, as sockets take them."""
        parts = urlsplit(self.address)
        assert parts.hostname and parts.port
        return parts.hostname, parts.port

    def order(self, what: Callable[[], object]) -> None:
        """Do something on its loop."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(what)

    def end(self) -> int:
        """Tell it to end, and wait; returns its exit code."""
        if not self.codes:
            self.order(self.orders.end_in_order)
        self.thread.join(MOST_S)
        assert not self.thread.is_alive(), "the server did not end"
        return self.codes[0]


@contextmanager
def served(models: Mapping[str, Path], **options: Any) -> Iterator[str]:
    """Serve artifacts by name on a free port; gives the URL, and ends the server behind the with-block.

    Args:
        models: Files by name.
        **options: Fields of `ServeOptions`.
    """
    with running(models, **options) as server:
        yield server.address


@contextmanager
def running(models: Mapping[str, Path], **options: Any) -> Iterator[Running]:
    """As `served`; gives the server itself.

    Args:
        models: Files by name.
        **options: Fields of `ServeOptions`.
    """
    options.setdefault("runtime", {"threads": 1})
    options.setdefault("grace_s", 0.0)
    wanted = ServeOptions(host="127.0.0.1", port=0, **options)
    bound = bind(wanted.host, wanted.port)
    address, orders, ready = address_of(bound, wanted), Orders(), threading.Event()
    loop, failed, codes = asyncio.new_event_loop(), [], []
    named = [Named(name, path) for name, path in models.items()]

    def run() -> None:
        try:
            codes.append(loop.run_until_complete(answer(named, wanted, bound, orders, ready.set)))
        except BaseException as error:  # noqa: BLE001 - told to the test
            failed.append(error)
            ready.set()
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            bound.close()

    thread, most = threading.Thread(target=run, name="served"), LIMIT.most
    thread.start()
    server = Running(address, orders, loop, thread, codes)
    try:
        assert ready.wait(MOST_S), "the server did not start"
        if failed:
            raise failed[0]
        yield server
    finally:
        if not failed:  # before it is ready, it would end this process
            server.order(orders.end_in_order)
        thread.join(MOST_S)
        LIMIT.most = most
        assert not thread.is_alive(), "the server did not end"
