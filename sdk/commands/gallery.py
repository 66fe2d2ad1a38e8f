"""Find what a picture is most like among labelled ones.

`make` turns a folder per label into a gallery of vectors; `match` looks pictures up in it. Any artifact of
one embedding model will do for both: .onnx, .pte, .trt or the checkpoint.

Examples:
  edgewright gallery make embedding.onnx products/ --out products.npz
  edgewright gallery match products.npz embedding.onnx shirt.png --top-k 3
  edgewright gallery match products.npz embedding.pte photos/ --threshold 0.8 --json > answers.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import InputError, UsageError
from sdk.commands.runtime_options import add_runtime_options, runtime_options
from sdk.input_files import files_in, item_of

if TYPE_CHECKING:
    from sdk.predictor import Predictor
    from sdk.results import Embedding

_CHUNK = 64


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the two sub-commands."""
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    make = what.add_parser("make", help="write a gallery from a folder per label", allow_abbrev=False)
    make.add_argument("artifact", metavar="ARTIFACT", help="embedding model")
    make.add_argument("folder", metavar="FOLDER", type=Path, help="pictures as LABEL/*.png")
    make.add_argument("--out", metavar="FILE", type=Path, required=True, help="the gallery, an .npz")
    make.add_argument("--overwrite", action="store_true", help="replace it where it is there")
    add_runtime_options(make)
    match = what.add_parser("match", help="look pictures up in a gallery", allow_abbrev=False)
    match.add_argument("gallery", metavar="GALLERY", type=Path, help="what `make` wrote")
    match.add_argument("artifact", metavar="ARTIFACT", help="the same embedding model")
    match.add_argument("inputs", metavar="INPUT", nargs="+", help="file, .npy array, or folder of files")
    match.add_argument("--top-k", type=int, default=5, metavar="N", help="matches of each. Default: 5")
    match.add_argument("--threshold", type=float, metavar="COSINE", help="leave out what is less like it")
    match.add_argument("--json", action="store_true", help="print a JSON list instead of lines")
    add_runtime_options(match)


def run(args: argparse.Namespace) -> int:
    """Make a gallery, or look in one."""
    return _make(args) if args.what == "make" else _match(args)


def _make(args: argparse.Namespace) -> int:
    from sdk.gallery import Gallery
    from sdk.predictor import Predictor

    if args.out.exists() and not args.overwrite:
        raise UsageError(
            f"Gallery {args.out.name!r}",
            got="a file that is there already",
            expected="a new name",
            fix="Say --overwrite to replace it, or choose another --out.",
        )
    folders = _label_folders(args.folder)
    with Predictor(args.artifact, **runtime_options(args)) as predictor:
        gallery = Gallery.of(predictor.artifact)
        for folder in folders:
            for _, embedding in _embeddings(predictor, files_in([folder])):
                gallery.add(folder.name, embedding)
    gallery.save(args.out)
    print(f"{args.out}: {len(gallery)} vectors of {len(folders)} labels, {gallery.dimensions} dimensions")
    return 0


def _match(args: argparse.Namespace) -> int:
    from sdk.gallery import Gallery
    from sdk.predictor import Predictor

    gallery = Gallery.load(args.gallery)
    answers: list[dict[str, Any]] = []
    with Predictor(args.artifact, **runtime_options(args)) as predictor:
        gallery.require_model(predictor.artifact)
        for path, embedding in _embeddings(predictor, files_in(args.inputs)):
            matches = gallery.match(embedding, top_k=args.top_k, threshold=args.threshold)
            answers.append({"input": str(path), "matches": [match.to_dict() for match in matches]})
            if not args.json:
                found = ", ".join(f"{match.label} {match.similarity:.3f}" for match in matches)
                print(f"{path}: {found or 'nothing like it'}")
    if args.json:
        print(json.dumps(answers, indent=2))
    return 0


def _embeddings(predictor: Predictor, paths: list[Path]) -> Iterator[tuple[Path, Embedding]]:
    for start in range(0, len(paths), _CHUNK):
        chunk = paths[start : start + _CHUNK]
        yield from zip(chunk, predictor.predict([item_of(path) for path in chunk]), strict=True)


def _label_folders(root: Path) -> list[Path]:
    inside = root.iterdir() if root.is_dir() else ()
    folders = sorted(path for path in inside if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise InputError(
            f"Folder {root.name!r}",
            got="no folders in it" if root.is_dir() else "no such folder",
            expected="a folder per label, with its pictures",
            fix="Arrange it as LABEL/picture.png.",
        )
    return folders
