"""`edgewright generate` for language models."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from runtimes import UsageError

if TYPE_CHECKING:
    from sdk.predictor import Predictor

TEXT_OPTIONS: tuple[str, ...] = ()
"""Options that only text has, by their ``dest``; their defaults are None."""


def add_text_options(group: Any) -> None:
    """Add the options of text."""
    del group


def generate_text(predictor: Predictor, args: argparse.Namespace) -> int:
    """Continue the prompt, and print what comes as it comes."""
    del args
    raise UsageError("Command generate", got=predictor.spec.output.kind, expected="pictures", fix="")
