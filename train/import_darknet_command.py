"""Turn Darknet's YOLOv3 or YOLOv3-tiny weights into a checkpoint.

The checkpoint can be predicted with, exported, and trained on. Its network takes the size that the
configuration says unless --size says another: objects that fill a picture are found better at a smaller
one, small objects at a larger one.

Examples:
  edgewright import-darknet yolov3-tiny.cfg yolov3-tiny.weights --labels coco.names --out tiny.safetensors
  edgewright import-darknet yolov3.cfg yolov3.weights --labels coco.names --out yolo.safetensors --size 608
  edgewright predict tiny.safetensors street.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

from runtimes import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("config", metavar="CFG", type=Path, help="Darknet's description of the network")
    parser.add_argument("weights", metavar="WEIGHTS", type=Path, help="the weights that belong to it")
    parser.add_argument(
        "--labels", type=Path, required=True, metavar="NAMES", help="a text file, one class name per line"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the checkpoint, a .safetensors"
    )
    parser.add_argument(
        "--size",
        metavar="PX",
        help="of the network's input, a side or WIDTHxHEIGHT, multiples of 32. Default: the configuration's",
    )
    parser.add_argument(
        "--score", type=float, metavar="S", help="lowest score of a box in a result, 0 to 1. Default: 0.25"
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="kept in the checkpoint with the network's answers, which `edgewright verify` asks for again; "
        "the first 4. Default: drawn ones",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there already")


def run(args: argparse.Namespace) -> int:
    """Import, and say what came out."""
    size_wh = None if args.size is None else _size(args.size)

    from train.darknet_import import import_darknet
    from train.yolo_spec import DEFAULT_SCORE

    artifact = import_darknet(
        args.config,
        args.weights,
        args.labels,
        args.out,
        size_wh=size_wh,
        score_threshold=DEFAULT_SCORE if args.score is None else args.score,
        pictures=args.pictures,
        overwrite=args.overwrite,
    )
    network, (width, height) = artifact.spec.network, artifact.spec.input.size_wh
    weights = sum(artifact.manifest.evidence.precision["weights"].values())
    classes = network.arguments["classes"]
    print(f"{network.name}: {classes} classes, {weights:,} parameters, {width}x{height} pixels")
    print(f"checkpoint: {args.out}")
    print(f"next: edgewright predict {args.out} PICTURE, edgewright export {args.out} --to onnx,pte")
    return 0


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) <= 2 and all(side.isdecimal() for side in sides):
        return int(sides[0]), int(sides[-1])
    raise UsageError("Option --size", got=repr(text), expected="such as 416 or 608x352", fix="Correct it.")
