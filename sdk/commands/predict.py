"""Predict on files with an artifact.

Takes any artifact (.onnx, .pte, .trt, .safetensors) and any number of inputs: image files, or folders
whose images are taken in name order; for models of text, texts or text files. Prints one line per input, or
JSON. Also takes videos, addresses (rtsp://, http://) and cameras (camera:0): one line per frame, or a video
with the results drawn on it.

Examples:
  edgewright predict product.onnx shirt.png
  edgewright predict product.pte photos/ --json > answers.json
  edgewright predict product.onnx shirt.png --out labelled/
  edgewright predict medical.onnx scan.dcm --explain --out why/
  edgewright predict product.onnx film.mp4 --out annotated.mp4
  edgewright predict text.onnx "a fine film" review.txt
  edgewright predict text.onnx --lines reviews.txt --json
  edgewright predict foreign.onnx shirt.png --spec foreign.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtimes import UsageError
from sdk.commands.predict_explain import explain_files
from sdk.commands.predict_stream import add_stream_options, predict_streams, takes_streams
from sdk.commands.runtime_options import add_runtime_options, runtime_options
from sdk.input_files import files_in

_CHUNK = 64
_LONGEST_NAME = 160


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("artifact", metavar="ARTIFACT", help="file written by train, export or build")
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="file, .npy array, folder of files, text, video, address, or camera:N",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of lines")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="write a picture of each result here, or a video: DIR or FILE.mp4",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="for classifiers: write pictures of what spoke for each answer (checkpoints, and artifacts "
        "exported with --class-maps)",
    )
    parser.add_argument(
        "--lines", action="store_true", help="for models of text: every line of a file is a text of its own"
    )
    parser.add_argument(
        "--spec",
        dest="foreign_spec",
        metavar="FILE",
        type=Path,
        help="for an .onnx of another tool: how it is fed and read (`inspect --propose-spec` drafts one)",
    )
    add_stream_options(parser)
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    """Predict and print."""
    from sdk.predictor import Predictor

    if takes_streams(args.inputs):
        if args.explain:
            raise UsageError("Option --explain", got="it for a video", expected="pictures",
                             fix="Save the frames that are meant.")  # fmt: skip
        return predict_streams(args)
    if args.explain:
        paths = files_in(args.inputs)
        pictures = _targets([(str(path), path) for path in paths], args.out)
        return explain_files(args, paths, dict(zip(paths, pictures, strict=False)))
    answers: list[dict[str, Any]] = []
    with Predictor(args.artifact, **runtime_options(args)) as predictor:
        named = predictor.spec.input.named(args.inputs, lines=args.lines)
        targets = iter(_targets(named, args.out))
        for start in range(0, len(named), _CHUNK):
            chunk = named[start : start + _CHUNK]
            for (name, _), result in zip(chunk, predictor.predict([item for _, item in chunk]), strict=True):
                answers.append({"input": name, **result.to_dict()})
                if not args.json:
                    print(f"{_shortened(name)}: {result.summary()}")
                if args.out:
                    result.plot().save(next(targets))
    if args.json:
        print(json.dumps(answers, indent=2))
    return 0


def _shortened(name: str) -> str:
    """A name that fits on a line: texts are their own names."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _targets(named: Sequence[tuple[str, Any]], out: Path | None) -> list[Path]:
    """Where the picture of each result goes; nowhere without a folder."""
    if out is None:
        return []
    # A text has no file name: its picture is called by its number.
    stems = [
        f"input_{at}" if isinstance(item, str) else Path(name).stem
        for at, (name, item) in enumerate(named, 1)
    ]
    targets = [out / f"{stem}_labelled.png" for stem in stems]
    if len(set(targets)) < len({name for name, item in named if not isinstance(item, str)}):
        raise UsageError(
            "Option --out",
            got="inputs that share a file name",
            expected="different names",
            fix="Predict one folder at a time.",
        )
    for target in targets:
        if target.exists():
            raise UsageError(
                f"Output {target.name!r}",
                got="a file that is there already",
                expected="a new name",
                fix="Choose another --out, or move it away.",
            )
    out.mkdir(parents=True, exist_ok=True)
    return targets
