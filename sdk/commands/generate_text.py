"""`edgewright generate` for language models."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from runtimes import UsageError

if TYPE_CHECKING:
    from sdk.predictor import Predictor

TEXT_OPTIONS = ("max_tokens", "temperature", "top_k", "top_p", "stop")
"""Options that only text has, by their ``dest``; their defaults are None."""

STANDARD_INPUT = "-"
"""In place of a prompt: it is read from standard input."""


def add_text_options(group: Any) -> None:
    """Add the options of text; each default is None: not given."""
    group.add_argument(
        "--max-tokens",
        type=int,
        metavar="N",
        help="most tokens that are written. Default: the artifact's own",
    )
    group.add_argument(
        "--temperature",
        type=float,
        metavar="X",
        help="below 1 likely tokens become likelier; 0 takes the likeliest. Default: 1",
    )
    group.add_argument("--top-k", type=int, metavar="N", help="draw from the N likeliest tokens only")
    group.add_argument(
        "--top-p",
        type=float,
        metavar="SHARE",
        help="draw only from the likeliest tokens that together have this share of the probability",
    )
    group.add_argument(
        "--stop", action="append", metavar="TEXT", help="end before this text; may be given several times"
    )


def generate_text(predictor: Predictor, args: argparse.Namespace) -> int:
    """Print the prompt, and behind it what is written as it is written."""
    if args.prompt is None:
        raise UsageError("PROMPT", got="nothing", expected="the text to continue",
                         fix='Pass it in quotes; "" starts from nothing.')  # fmt: skip
    given = {name: getattr(args, name) for name in TEXT_OPTIONS if getattr(args, name) is not None}
    stream = predictor.generate(_prompt(predictor, args.prompt), seed=args.seed, stream=True, **given)
    if args.json:
        print(json.dumps(stream.result.to_dict(), indent=2))
        return 0
    sys.stdout.write(stream.prompt)
    for piece in stream:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0


def _prompt(predictor: Predictor, word: str) -> Any:
    """The prompt itself, a text file, or what comes on standard input."""
    if word == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    (_, prompt), *more = predictor.spec.input.named([word])
    if more:
        raise UsageError(f"PROMPT {word!r}", got="a folder of several files", expected="one text",
                         fix="Name one of them.")  # fmt: skip
    return prompt
