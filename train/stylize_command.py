"""Paint one picture in the style of another, by changing its pixels (no training, minutes a picture).

Needs VGG-16's convolutions as .safetensors, named as in torchvision. `edgewright train style` learns one
style once and then paints a picture in milliseconds.

Examples:
  edgewright stylize photo.jpg --style painting.png --vgg vgg16.safetensors --out painted.png
  edgewright stylize photo.jpg --style painting.png --vgg vgg16.safetensors --out art.png --size 256
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any

from runtimes import UsageError

_SIZE_PX, _SMALLEST_PX = 512, 16
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_TOLD_EVERY = 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from train.tasks.style_arguments import add_style_and_weights

    parser.add_argument("content", metavar="CONTENT", type=Path, help="the picture that is painted")
    add_style_and_weights(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .png, .jpg or .webp")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there already")
    parser.add_argument(
        "--size", type=int, metavar="PX", default=_SIZE_PX,
        help="what the longer side is shrunk to; time and memory grow with its square. Default: 512",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, metavar="N", help="of the search. Default: 100")
    parser.add_argument(
        "--method", choices=("lbfgs", "adam"), help="L-BFGS needs fewer steps. Default: lbfgs"
    )
    parser.add_argument(
        "--start", choices=("content", "noise"), help="which pixels are changed. Default: content"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of the noise. Default: 0")
    parser.add_argument("--threads", type=int, metavar="N", help="of torch. Default: its own choice")


def run(args: argparse.Namespace) -> int:
    """Paint, and say what it came to."""
    _check(args)
    import torch

    from sdk.atomic_write import atomic_write
    from train.data.photos import load_photo
    from train.stylize import StylizeOptions, stylize

    told = {name: getattr(args, name) for name in ("method", "steps", "start", "seed")}
    options = StylizeOptions(**{name: value for name, value in told.items() if value is not None})
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    photo = load_photo(args.content)
    photo.thumbnail((args.size, args.size))
    rules = _rules(args)
    say = _Progress(options.steps)
    painted = stylize(photo, rules.judge(), rules.weights, options, say)
    say.end()
    atomic_write(args.out, _encoded(painted, args.out.suffix.lower()))
    print(f"{args.out}: {photo.width}×{photo.height} px, loss {say.first:.4f} to {say.last:.4f} "
          f"in {options.steps} steps")  # fmt: skip
    return 0


def _check(args: argparse.Namespace) -> None:
    for name in ("style", "vgg"):
        if getattr(args, name) is None:
            raise UsageError(f"Option --{name}", got="nothing", expected="a file", fix=f"Add --{name} FILE.")
    if args.out.suffix.lower() not in _FORMATS:
        raise UsageError("Option --out", got=repr(args.out.name), expected=f"a {', '.join(_FORMATS)}",
                         fix="Choose another name.")  # fmt: skip
    if args.out.exists() and not args.overwrite:
        raise UsageError(f"Output {args.out.name!r}", got="a file that is there already",
                         expected="a new name", fix="Choose another --out, or say --overwrite.")  # fmt: skip
    for name, least in (("size", _SMALLEST_PX), ("threads", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UsageError(f"Option --{name}", got=str(value), expected=f"at least {least}",
                             fix="Correct the value.")  # fmt: skip


def _rules(args: argparse.Namespace) -> Any:
    from train.style_rules import StyleRules
    from train.tasks.style_options import StyleOptions

    names = ("style", "vgg", "style_size", "content_weight", "style_weight", "smooth_weight")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return StyleRules.of(StyleOptions(**given))


def _encoded(painted: Any, suffix: str) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(painted).save(buffer, _FORMATS[suffix], **({} if suffix == ".png" else {"quality": 95}))
    return buffer.getvalue()


class _Progress:
    """Says the loss: on one line that changes on a terminal, every tenth step elsewhere."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._watched = sys.stderr.isatty()
        self.first = self.last = 0.0

    def __call__(self, step: int, loss: float) -> None:
        self.first, self.last = (loss if step == 1 else self.first), loss
        words = f"step {step}/{self._steps}  loss {loss:.4f}"
        if self._watched:
            sys.stderr.write(f"\r\x1b[K{words}")
            sys.stderr.flush()
        elif step % _TOLD_EVERY == 0:
            print(words, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Take the line away."""
        if self._watched:
            sys.stderr.write("\r\x1b[K")
