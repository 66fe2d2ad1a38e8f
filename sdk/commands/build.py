"""Build a TensorRT engine from an .onnx artifact, on the device that will run it.

Needs TensorRT (JetPack's own, or edgewright[tensorrt-rtx]) and no training package. The engine carries the
contract and the golden samples of the .onnx file. With a GPU the samples are replayed through the finished
engine, and one that is past its tolerance is not written; without a GPU the artifact says "built, not run".

A finished engine is kept in $XDG_CACHE_HOME/edgewright/engines (~/.cache where that is not set), under
model, TensorRT version, GPU, Jetson Linux release, precision and shapes. The same build again takes it from
there; its golden samples are replayed all the same.

Examples:
  edgewright build product.onnx
  edgewright build product.onnx --precision fp16 --max-batch 8 --out product_fp16.trt
  edgewright build product_pruned24.onnx --sparse
  edgewright build --clear-cache
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import DeviceError, EngineError, EngineMissingError, ProofError, UsageError
from sdk.engine_cache import DEFAULT_LIMIT_MB, EngineCache, engine_key

if TYPE_CHECKING:
    from runtimes.tensorrt_builder import BuiltEngine
    from runtimes.tensorrt_options import BuildOptions
    from sdk.artifact import Artifact, Evidence, Manifest
    from sdk.predictor import Verification

# Half precision keeps 10 bits of mantissa: through a deep network that moves a probability near 0.5 by about
# 0.01. A wrong layer or input order is off by tenths.
FP16_TOLERANCE = 0.03


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "model", metavar="MODEL.onnx", type=Path, nargs="?", help="artifact written by export"
    )
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
    _add_cache_options(parser)


def _add_cache_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("cache of engines")
    group.add_argument("--cache", metavar="DIR", type=Path, help="another folder for it")
    group.add_argument(
        "--cache-limit-mb",
        metavar="N",
        type=int,
        default=DEFAULT_LIMIT_MB,
        help="most that it may take in all; what was not used for longest goes first (default: %(default)s)",
    )
    group.add_argument("--no-cache", action="store_true", help="neither look there nor store")
    group.add_argument("--clear-cache", action="store_true", help="remove all engines from it, and end")


def run(args: argparse.Namespace) -> int:
    """Build or take from the cache, replay the golden samples where there is a GPU, write, and report."""
    from runtimes.tensorrt_options import BuildOptions
    from sdk.artifact import read_artifact, write_artifact

    cache = None if args.no_cache else EngineCache(args.cache, args.cache_limit_mb)
    if args.clear_cache:
        return _clear(cache or EngineCache(args.cache), args.json)
    options = BuildOptions(args.precision, args.max_batch, workspace_mb=args.workspace_mb, sparse=args.sparse)
    out = _out_path(args.model, args.out, args.overwrite)
    model = read_artifact(args.model)
    options = replace(options, kept=tuple(model.manifest.evidence.precision.get("kept_nodes", ())))
    built, manifest, replay, from_cache = _built(model, options, cache)
    artifact = write_artifact(out, built.plan, manifest)
    report = _report(artifact, built, replay)
    report |= {"from_cache": from_cache, "notes": cache.notes if cache else []}
    print(json.dumps(report, indent=2) if args.json else _summary(report))
    return 0


def _clear(cache: EngineCache, as_json: bool) -> int:
    entries, size_bytes = cache.clear()
    report = {"folder": str(cache.folder), "removed": entries, "size_bytes": size_bytes}
    text = f"{cache.folder}: {entries} engine{'s' * (entries != 1)} removed, {size_bytes / 1e6:.1f} MB"
    print(json.dumps(report, indent=2) if as_json else text)
    return 0


def _built(
    model: Artifact, options: BuildOptions, cache: EngineCache | None
) -> tuple[BuiltEngine, Manifest, Verification | None, bool]:
    """A proved engine, its manifest, the replay, and whether it came from the cache."""
    from sdk.engine_build import build_graphs

    key = engine_key(model.manifest.payload_sha256, options) if cache else None
    stored = cache.load(key) if cache and key else None
    if cache and key and stored:
        try:
            return stored, *_proved(stored, _manifest(model, stored)), True
        except EngineMissingError:
            raise
        except EngineError as error:
            # The key does not hold everything: a new driver can refuse what an older one took.
            cache.drop(key)
            cache.notes.append(f"The stored engine is refused here now ({error.got}) and is built again.")
    built = build_graphs(model, options)
    manifest, replay = _proved(built, _manifest(model, built))
    if cache and key:
        cache.save(key, built)
    return built, manifest, replay, False


def _out_path(model: Path | None, out: Path | None, overwrite: bool) -> Path:
    if model is None:
        raise UsageError(
            "Model", got="none", expected="MODEL.onnx", fix="Name the artifact to build an engine of."
        )
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
    from sdk.machine import read_machine

    before, jetson = model.manifest.evidence, read_machine().jetson
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
            **({"l4t": jetson.l4t} if jetson else {}),
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
            f"  built      in {report['build_s']:.1f} s with {tools} for {', '.join(report['built_for'])}"
            + ", taken from the cache" * report["from_cache"],
            *(f"  note       {note}" for note in report["notes"]),
        )
    )
