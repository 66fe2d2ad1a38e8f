"""Bake, lower and prove a checkpoint for the device.

Preprocessing and activation go into the graph, the graph is lowered for each target, and every artifact
is measured against the checkpoint on real data before it gets its final name. Past the budget nothing is
written and the exit code is 1.

Targets:
  onnx   ONNX Runtime, and the source of engines that are built on the device with `edgewright build`
  pte    ExecuTorch with the XNNPACK delegate: phones and boards
  trt    TensorRT; built where a builder is installed, and marked "built, not run" where no GPU is
  torch2trt   the same by torch2trt, where that is installed (TensorRT up to 10)

Examples:
  edgewright export runs/product/product.safetensors --to onnx,pte
  edgewright export runs/product/product.safetensors --to trt --precision fp16 --out engines/
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.pipeline import Exported


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help=".safetensors written by train")
    parser.add_argument("--to", required=True, metavar="TARGETS", help="comma-separated: onnx,pte,trt")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "fp16"), help="default: fp32")
    parser.add_argument(
        "--data",
        metavar="PATH",
        type=Path,
        help="data to prove on; default: what the checkpoint was trained on",
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        metavar="POINTS",
        help="largest loss of accuracy in points (default: 0.1 for fp32, 0.5 for fp16)",
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


def run(args: argparse.Namespace) -> int:
    """Export and print what was measured."""
    from export.pipeline import export_artifacts
    from export.progress import progress_bars

    with progress_bars() as progress:
        done = export_artifacts(
            args.checkpoint,
            [target.strip() for target in args.to.split(",") if target.strip()],
            precision=args.precision,
            data=args.data,
            out=args.out,
            max_drop=args.max_drop,
            max_batch=args.max_batch,
            overwrite=args.overwrite,
            progress=progress,
        )
    if args.json:
        print(json.dumps([_as_json(exported) for exported in done], indent=2))
    else:
        for exported in done:
            print(_as_text(exported))
    return 0


def _as_json(exported: Exported) -> dict[str, object]:
    from sdk.codec import to_json

    return {
        "target": exported.target,
        "file": str(exported.path),
        "size_bytes": exported.artifact.size_bytes,
        "evidence": to_json(exported.evidence),
    }


def _as_text(exported: Exported) -> str:
    evidence = exported.evidence
    words = [f"{exported.path}: {evidence.status}", f"{exported.artifact.size_bytes / 1e6:.2f} MB"]
    if evidence.metrics:
        words.append(f"{evidence.metrics[0].name} {evidence.metrics[0].value:.2%}")
    if evidence.parity:
        words.append(
            f"{evidence.parity.agreement:.2%} same answers as the checkpoint, "
            f"worst difference {evidence.parity.worst_difference:.1e}"
        )
    return ", ".join([*words, _precision(evidence.precision)])


def _precision(record: dict[str, Any]) -> str:
    """Such as ``fp16 (convolution 7 × float16; matrix multiply 1 × float16, read from parsed network)``."""
    groups = record.get("layers") or {"weights": record.get("weights", {})}
    parts = [
        f"{kind.lower().replace('_', ' ')} " + ", ".join(f"{n:,} × {dtype}" for dtype, n in counts.items())
        for kind, counts in groups.items()
    ]
    source = f", read from {record['read_from']}" if "read_from" in record else ""
    return f"{record['requested']} ({'; '.join(parts)}{source})"
