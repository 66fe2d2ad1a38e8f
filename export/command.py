"""Bake, lower and prove a checkpoint for the device.

Preprocessing and activation go into the graph, the graph is lowered for each target, and every artifact
is measured against the checkpoint on real data before it gets its final name. Past the budget nothing is
written and the exit code is 1.

Targets:
  onnx   ONNX Runtime, and the source of engines that are built on the device with `edgewright build`
  pte    ExecuTorch with the XNNPACK delegate: phones and boards
  trt    TensorRT; built where a builder is installed, and marked "built, not run" where no GPU is
  trt-onnx   the int8 graph that TensorRT takes (product_int8_trt.onnx), to be built on a Jetson
  torch2trt   the same as trt by torch2trt, where that is installed (TensorRT up to 10)

Every precision but fp32 is in the file's name (product_int8.onnx). A compressed artifact is timed against its
fp32 parent in the same run; one that is not faster, or not smaller, says "no gain".

Examples:
  edgewright export runs/product/product.safetensors --to onnx,pte
  edgewright export runs/product/product.safetensors --to onnx,pte --precision int8 --max-drop 0.5
  edgewright export runs/product/product.safetensors --to onnx --precision int8 --prune 0.5
  edgewright export runs/product/product.safetensors --to trt --precision fp16 --out engines/
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.recipe import CALIBRATORS, GRANULARITIES, HOST, PRECISIONS, SUPPRESSORS, Recipe
from train.tracking import add_tracking

if TYPE_CHECKING:
    from export.pipeline import Exported
    from sdk.artifact import Evidence
    from train.tracking import Tracker


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help=".safetensors written by train")
    parser.add_argument(
        "--to", required=True, metavar="TARGETS", help="comma-separated: onnx,pte,trt,trt-onnx"
    )
    _add_compression(parser.add_argument_group("compression"))
    _add_calibration(parser.add_argument_group("calibration (int8 and fp16)"))
    _add_graph(parser.add_argument_group("what the graph gives"))
    parser.add_argument(
        "--data",
        metavar="PATH",
        type=Path,
        help="data to prove on; default: what the checkpoint was trained on",
    )
    parser.add_argument(
        "--parent",
        metavar="FILE",
        type=Path,
        help="uncompressed checkpoint of a pruned one, to compare with; default: looked for beside it",
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        metavar="POINTS",
        help="largest loss of accuracy against the uncompressed checkpoint, in points "
        "(default: 0.1 for fp32, 0.5 for the others, 1.0 for pruned checkpoints)",
    )
    parser.add_argument(
        "--max-batch",
        type=int,
        default=8,
        metavar="N",
        help="largest batch of engines that plan memory ahead (pte, trt); default: 8",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="default: the checkpoint's folder")
    parser.add_argument("--overwrite", action="store_true", help="replace artifacts that are there already")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    add_tracking(parser)


def _add_graph(group: Any) -> None:
    group.add_argument(
        "--nms",
        default=HOST,
        choices=SUPPRESSORS,
        help="for boxes: who suppresses those that overlap, the host or (onnx only) the graph; default: host",
    )
    group.add_argument(
        "--class-maps",
        action="store_true",
        help="for classifiers: also give class activation maps, for `edgewright predict --explain`",
    )


def _add_compression(group: Any) -> None:
    group.add_argument(
        "--precision",
        default="fp32",
        choices=PRECISIONS,
        help="int8 quantises weights and activations (calibrated), int8-dynamic activations while running "
        "(linear and recurrent layers), int8-weights and int4-weights store weights only; default: fp32",
    )
    group.add_argument(
        "--calibrator",
        default="mse",
        choices=CALIBRATORS,
        help="how int8 chooses an activation's range; default: mse",
    )
    group.add_argument(
        "--granularity",
        default="per-channel",
        choices=GRANULARITIES,
        help="scales of int8 weights; default: per-channel",
    )
    group.add_argument(
        "--keep",
        metavar="LAYERS",
        default="",
        help="comma-separated layers that stay in fp32; `edgewright sensitivity` ranks them",
    )
    group.add_argument(
        "--mixed",
        action="store_true",
        help="keep the worst layers in fp32, one more at a time, until --max-drop holds",
    )
    group.add_argument(
        "--prune",
        metavar="SHARE",
        type=float,
        help="remove this share of channels first and recover, taught by the checkpoint",
    )
    group.add_argument(
        "--recovery-epochs", metavar="N", type=int, default=3, help="of fine-tuning after --prune; default: 3"
    )


def _add_calibration(group: Any) -> None:
    group.add_argument("--calibration-data", metavar="PATH", type=Path, help="default: what is proved on")
    group.add_argument(
        "--calibration-split",
        metavar="NAME",
        default="train",
        help="never the one that accuracy is reported on; default: train",
    )
    group.add_argument("--calibration-samples", metavar="N", type=int, help="default: 512, or all there are")


def run(args: argparse.Namespace) -> int:
    """Export and print what was measured."""
    from export.calibration import CalibrationChoice
    from export.pipeline import export_artifacts
    from export.progress import progress_bars

    tracker = _tracker(args.tracking)
    keep = tuple(name.strip() for name in args.keep.split(",") if name.strip())
    recipe = Recipe(args.precision, args.calibrator, args.granularity, keep, args.nms, args.class_maps)
    with progress_bars() as progress:
        done = export_artifacts(
            args.checkpoint,
            [target.strip() for target in args.to.split(",") if target.strip()],
            recipe=recipe,
            mixed=args.mixed,
            prune=args.prune,
            recovery_epochs=args.recovery_epochs,
            data=args.data,
            calibration=CalibrationChoice(
                args.calibration_data, args.calibration_split, args.calibration_samples
            ),
            parent=args.parent,
            out=args.out,
            max_drop=args.max_drop,
            max_batch=args.max_batch,
            overwrite=args.overwrite,
            progress=progress,
        )
    if tracker is not None:
        _track(tracker, done, recipe)
    if args.json:
        print(json.dumps([_as_json(exported) for exported in done], indent=2))
    else:
        for exported in done:
            print(_as_text(exported))
    return 0


def _tracker(where: str | None) -> Tracker | None:
    """Before anything slow: whether it can be used is known at once."""
    if where is None:
        return None
    from train.tracking import Tracker

    return Tracker(where)


def _track(tracker: Tracker, done: list[Exported], recipe: Recipe) -> None:
    """A run and a registered version for each artifact."""
    for exported in done:
        told = {"target": exported.target, "recipe": recipe.to_json()}
        with tracker.run(f"export {exported.path.name}", told) as tracked:
            tracked.metrics(exported.evidence.metrics)
            tracked.figures({"size_bytes": float(exported.artifact.size_bytes), **_parity(exported.evidence)})
            tracked.artifact(exported.artifact, {"edgewright.target": exported.target})


def _parity(evidence: Evidence) -> dict[str, float]:
    parity = evidence.parity
    if parity is None:
        return {}
    return {"agreement": parity.agreement, "worst_difference": parity.worst_difference}


def _as_json(exported: Exported) -> dict[str, object]:
    from sdk.codec import to_json

    return {
        "target": exported.target,
        "file": str(exported.path),
        "size_bytes": exported.artifact.size_bytes,
        "evidence": to_json(exported.evidence),
    }


def _as_text(exported: Exported) -> str:
    from export.gate import gain_in_words

    evidence = exported.evidence
    words = [f"{exported.path}: {evidence.status}", f"{exported.artifact.size_bytes / 1e6:.2f} MB"]
    if evidence.metrics:
        words.append(f"{evidence.metrics[0].name} {evidence.metrics[0].text}{_before(evidence.facts)}")
    if evidence.parity:
        words.append(
            f"{evidence.parity.agreement:.2%} same answers as the checkpoint, "
            f"worst difference {evidence.parity.worst_difference:.1e}"
        )
    gained = gain_in_words(evidence.facts)
    return ", ".join([*words, *([gained] if gained else []), _precision(evidence.precision)])


def _before(facts: dict[str, Any]) -> str:
    """Such as `` (90.12 % before)``."""
    before = facts.get("before")
    from sdk.artifact import Metric

    return f" (uncompressed {Metric(**before[0]).text})" if before and "gain" in facts else ""


def _precision(record: dict[str, Any]) -> str:
    """Such as ``fp16 (convolution 7 × float16; matrix multiply 1 × float16, read from parsed network)``."""
    groups = record.get("nodes") or record.get("layers") or {"weights": record.get("weights", {})}
    parts = [
        f"{kind.lower().replace('_', ' ')} " + ", ".join(f"{n:,} × {dtype}" for dtype, n in counts.items())
        for kind, counts in groups.items()
    ]
    source = f", read from {record['read_from']}" if "read_from" in record else ""
    return f"{record['requested']} ({'; '.join(parts)}{source})"
