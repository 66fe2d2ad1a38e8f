"""`transformers` without its reports, which are for its developers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep what importing it and loading with it would print off the terminal."""
    # torchao, which it imports, tells torch 2.14 something that torch has come to know by itself.
    tree = logging.getLogger("torch.utils._pytree")
    level = tree.level
    tree.setLevel(logging.ERROR)
    try:
        from transformers.utils import logging as its

        before, bars = its.get_verbosity(), its.is_progress_bar_enabled()
        its.set_verbosity_error()
        its.disable_progress_bar()
        try:
            yield
        finally:
            its.set_verbosity(before)
            if bars:
                its.enable_progress_bar()
    finally:
        tree.setLevel(level)
