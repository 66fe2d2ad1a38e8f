"""What every handler of a page does: one line for what cannot be used, and the time a call took."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from demos.pages.subject import Opened
from runtimes import EdgewrightError
from sdk.bench.words import ms


def answered(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Show an `EdgewrightError` of `handler` as its one line on the page."""

    @functools.wraps(handler)
    def wrapped(*values: Any) -> Any:
        with _told():
            return handler(*values)

    return wrapped


def answered_stream(handler: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """As `answered`, for handlers that give one answer after the other."""

    @functools.wraps(handler)
    def wrapped(*values: Any) -> Iterator[Any]:
        with _told():
            yield from handler(*values)

    return wrapped


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except EdgewrightError as error:
        raise gr.Error(str(error), title="This cannot be used", print_exception=False) from error


def timed(opened: Opened, call: Callable[[], Any]) -> tuple[Any, str]:
    """The result of one call, and how long it took, in words."""
    begin = time.perf_counter()
    result = call()
    took = (time.perf_counter() - begin) * 1e3
    return result, f"**{ms(took)} ms** for this one call, on {opened.predictor.runtime.name}"
