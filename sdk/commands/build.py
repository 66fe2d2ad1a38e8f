"""Build a TensorRT engine from an .onnx artifact, on the device that will run it.

Needs TensorRT (JetPack's own, or edgewright[tensorrt-rtx]) and no training package. The engine carries the
contract and the golden samples of the .onnx file. With a GPU the samples are replayed through the finished
engine, and one that is past its tolerance is not written; without a GPU the artifact says "built, not run".

Examples:
  edgewright build product.onnx
  edgewright build product.onnx --precision fp16 --max-batch 8 --out product_fp16.trt
  edgewright build product_pruned24.onnx --sparse
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import DeviceError, ProofError, UsageError

if TYPE_CHECKING:
    from runtimes.tensorrt_builder import BuiltEngine
    from sdk.artifact import Artifact, Evidence, Manifest
    from sdk.predictor import Verification

# Half precision keeps 10 bits of mantissa: through a deep network that moves a probability near 0.5 by about
# 0.01. A wrong layer or input order is off by tenths.
FP16_TOLERANCE = 0.03


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("model", metavar="MODEL.onnx", type=Path, help="artifact written by export")
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "int8"),
        help="of convolutions and matrix products (default: what the graph is in; int8 takes a graph that "
        "was quantised for TensorRT)",
    )
    parser.add_argument(
        "--max-batch",
        metavar="N",
        type=int,
        help="most items in one call, where the graph leaves it open (default: 16)",
    )
    parser.add_argument(
        "--workspace-mb",
        metavar="N",
        type=int,
        help="most GPU memory for layers to work in (default: TensorRT's choice)",
    )
    parser.add_argument(
        "--sparse",
        action="store_true",
        help="allow kernels for weights that are 2:4 sparse (Ampere and later)",
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="default: MODEL.trt beside the model")
    parser.add_argument("--overwrite", action="store_true", help="replace an engine that is there already")
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of lines")


def run(args: argparse.Namespace) -> int:
    """Build, replay the golden samples where there is a GPU, write, and report."""
    from runtimes.tensorrt_build_process import build_in_subprocess
    from runtimes.tensorrt_options import BuildOptions
    from sdk.artifact import read_artifact, write_artifact

    options = BuildOptions(args.precision, args.max_batch, workspace_mb=args.workspace_mb, sparse=args.sparse)
    out = _out_path(args.model, args.out, args.overwrite)
    model = read_artifact(args.model)
    options = replace(options, kept=tuple(model.manifest.evidence.precision.get("kept_nodes", ())))
    built = build_in_subprocess(model.payload, options)
    manifest, replay = _proved(built, _manifest(model, built))
    artifact = write_artifact(out, built.plan, manifest)
    report = _report(artifact, built, replay)
    print(json.dumps(report, indent=2) if args.json else _summary(report))
    return 0


def _out_path(model: Path, out: Path | None, overwrite: bool) -> Path:
    if model.suffix.lower() != ".onnx":
        raise UsageError(
            "Model",
            got=model.name,
            expected="an .onnx artifact",
            fix="Run `edgewright export CHECKPOINT --to onnx` first.",
        )
    out = out or model.with_suffix(".trt")
    if out.suffix.lower() not in (".trt", ".engine"):
        raise UsageError(
            "Option --out",
            got=out.name,
            expected="a name ending in .trt or .engine",
            fix="Change its ending.",
        )
    if out.exists() and not overwrite:
        raise UsageError(
            f"Output {out.name!r}",
            got="a file that is there already",
            expected="a new name",
            fix="Say --overwrite to replace it, or choose another with --out.",
        )
    return out


def _manifest(model: Artifact, built: BuiltEngine) -> Manifest:
    """The model's manifest, with the batch that the engine takes and evidence of this build alone."""
    from sdk.artifact import NOT_RUN, Evidence
    from sdk.artifact.provenance import now_utc

    before = model.manifest.evidence
    evidence = Evidence(
        status=NOT_RUN,
        created_utc=now_utc(),
        parent_sha256=before.parent_sha256,
        precision=built.precision_record(),
        tolerance=max(before.tolerance, FP16_TOLERANCE) if built.precision == "fp16" else before.tolerance,
        parity=None,
        metrics=(),
        tools=built.tools,
        facts={
            "onnx_sha256": model.manifest.payload_sha256,
            "built_for": list(built.targets),
            "build_s": round(built.build_s, 2),
            "sparse_kernels_allowed": built.sparse,
        },
    )
    return replace(model.manifest, spec=model.spec.with_max_batch(built.max_batch), evidence=evidence)


def _proved(built: BuiltEngine, manifest: Manifest) -> tuple[Manifest, Verification | None]:
    """Replay the golden samples; the manifest then says so. Unchanged where there is no GPU or no sample.

    Raises:
        ProofError: The engine's answers are past the tolerance.
    """
    from sdk.artifact import PROVED, write_artifact
    from sdk.predictor import Predictor

    if not manifest.samples:
        return manifest, None
    with tempfile.TemporaryDirectory(prefix="edgewright-build-") as folder:
        candidate = write_artifact(Path(folder) / "candidate.trt", built.plan, manifest)
        try:
            with Predictor(candidate.path) as predictor:
                replay, ran_on = predictor.verify(), predictor.runtime.report()
        except DeviceError:
            return manifest, None
    if not replay.holds:
        raise ProofError(
            "Built engine",
            got=f"answers {replay.worst_difference:.2g} away from the checkpoint's",
            expected=f"at most {replay.tolerance:.2g} on {replay.samples} golden samples",
            fix="Build with --precision fp32.",
        )
    facts = {
        **manifest.evidence.facts,
        "golden_worst_difference": replay.worst_difference,
        "golden_samples": replay.samples,
        "device": ran_on.get("device"),
    }
    evidence: Evidence = replace(manifest.evidence, status=PROVED, facts=facts)
    return replace(manifest, evidence=evidence), replay


def _report(artifact: Artifact, built: BuiltEngine, replay: Verification | None) -> dict[str, Any]:
    return {
        "artifact": str(artifact.path),
        "size_bytes": artifact.size_bytes,
        "status": artifact.manifest.evidence.status,
        "worst_difference": replay.worst_difference if replay else None,
        "precision": built.precision_record(),
        "max_batch": built.max_batch,
        "built_for": list(built.targets),
        "tools": built.tools,
        "build_s": round(built.build_s, 2),
    }


def _summary(report: dict[str, Any]) -> str:
    layers = "; ".join(
        f"{kind} {', '.join(f'{count} × {dtype}' for dtype, count in dtypes.items())}"
        for kind, dtypes in report["precision"]["layers"].items()
    )
    kept, other = (report["precision"][name] for name in ("kept_nodes", "not_as_requested"))
    notes = [f"  kept       in higher precision: {', '.join(kept)}"] * bool(kept)
    notes += [f"  not as asked for: {', '.join(other)}"] * bool(other)
    found = report["worst_difference"]
    proof = report["status"] if found is None else f"{report['status']}, worst difference {found:.2e}"
    tools = " ".join(f"{name} {version}" for name, version in report["tools"].items())
    return "\n".join(
        (
            f"{report['artifact']}: {report['size_bytes'] / 1e6:.2f} MB, {proof}",
            f"  precision  {report['precision']['requested']}: {layers} (read from the "
            f"{report['precision']['read_from']})",
            *notes,
            f"  batch      1 to {report['max_batch']}",
            f"  built      in {report['build_s']:.1f} s with {tools} for {', '.join(report['built_for'])}",
        )
    )
