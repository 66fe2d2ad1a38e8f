"""Generate pictures or text with an artifact.

A generator of pictures (task `gan`) draws new ones from a seed; a language model (task `gpt`) continues a
prompt. One seed gives one answer, in every runtime.

Examples:
  edgewright generate gan.onnx -n 16 --seed 1 --out grid.png
  edgewright generate gan.pte -n 100 --seed 7 --out pictures/
  edgewright generate gpt.onnx "Once upon a time" --max-tokens 100 --top-p 0.9 --seed 1
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from runtimes import UsageError
from sdk.commands.generate_pictures import PICTURE_OPTIONS, add_picture_options, generate_pictures
from sdk.commands.generate_text import TEXT_OPTIONS, add_text_options, generate_text
from sdk.commands.runtime_options import add_runtime_options, runtime_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("artifact", metavar="ARTIFACT", help="file written by train, export or build")
    parser.add_argument("prompt", metavar="PROMPT", nargs="?", help="text to continue; for language models")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what is drawn. Default: 0")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    add_picture_options(parser.add_argument_group("pictures"))
    add_text_options(parser.add_argument_group("text"))
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    """Generate what the artifact generates."""
    from sdk.predictor import Predictor

    with Predictor(args.artifact, **runtime_options(args)) as predictor:
        kind = predictor.spec.output.kind
        if kind == "generated_text":
            _require_absent(args, PICTURE_OPTIONS, "a language model")
            return generate_text(predictor, args)
        if kind == "picture" and predictor.spec.input.kind == "noise":
            _require_absent(args, ("prompt", *TEXT_OPTIONS), "a generator of pictures")
            return generate_pictures(predictor, args)
    raise UsageError(
        f"Artifact {predictor.artifact.path.name!r}",
        got=f"task {predictor.spec.task!r}, whose outputs are of kind {kind!r}",
        expected="a generator of pictures, or a language model",
        fix="Use edgewright predict.",
    )


def _require_absent(args: argparse.Namespace, names: Iterable[str], what: str) -> None:
    """Refuse options that the artifact has no use for; their defaults are None."""
    for name in names:
        value: Any = getattr(args, name)
        if value is not None:
            told = {"prompt": "PROMPT", "count": "-n"}.get(name, f"--{name.replace('_', '-')}")
            raise UsageError(
                f"Option {told}", got=repr(value), expected=f"none for {what}", fix="Leave it out."
            )
