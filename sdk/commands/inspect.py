"""Show an artifact's contract and proof, without its engine.

Checks every hash, then prints how the artifact is fed, how it is read, what was measured, and where it
came from. Needs nothing but this package: no ONNX Runtime, ExecuTorch, TensorRT or torch.

Of an .onnx that another tool wrote it shows what the file says, and with --propose-spec it drafts a spec:
what is certain, and what is guessed and has to be corrected by whoever knows the model.

Examples:
  edgewright inspect product.onnx
  edgewright inspect product.trt --json
  edgewright inspect --propose-spec foreign.onnx > foreign.json
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdk.artifact import Artifact, Evidence
    from sdk.monitor.reference import Reference


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("artifact", metavar="ARTIFACT", help="file written by train, export or build")
    parser.add_argument("--json", action="store_true", help="print the whole manifest but the sample bytes")
    parser.add_argument(
        "--propose-spec", action="store_true", help="draft a spec, as JSON, for an .onnx of another tool"
    )


def run(args: argparse.Namespace) -> int:
    """Read, check and print."""
    from sdk.artifact import read_artifact
    from sdk.artifact.opened import carries_no_contract

    if args.propose_spec:
        from sdk.foreign.propose import propose_spec

        print(json.dumps(propose_spec(args.artifact).to_json(), indent=2))
        return 0
    if carries_no_contract(args.artifact):
        from sdk.foreign.describe import described

        facts = described(args.artifact)
        print(
            json.dumps(facts, indent=2) if args.json else _aligned([(k, _brief(v)) for k, v in facts.items()])
        )
        return 0
    artifact = read_artifact(args.artifact)
    print(json.dumps(_as_json(artifact), indent=2) if args.json else _as_text(artifact))
    return 0


def _as_json(artifact: Artifact) -> dict[str, Any]:
    from sdk.codec import to_json

    manifest = artifact.manifest
    return {
        "file": artifact.path.name,
        "size_bytes": artifact.size_bytes,
        "payload_sha256": manifest.payload_sha256,
        "spec": {
            **manifest.spec.to_json(),
            "input": manifest.spec.input.described(),
            "output": manifest.spec.output.described(),
        },
        "evidence": to_json(manifest.evidence),
        "golden_samples": len(manifest.samples),
        "reference": _watched(manifest.reference),
    }


def _watched(reference: Reference | None) -> dict[str, Any] | None:
    """What drift can be told from, without the distributions."""
    if reference is None:
        return None
    features = sorted({*reference.numbers, *reference.words})
    return {"split": reference.split, "rows": reference.rows, "features": features}


def _as_text(artifact: Artifact) -> str:
    spec, evidence = artifact.spec, artifact.manifest.evidence
    rows = [
        ("file", f"{artifact.path.name}, {artifact.size_bytes / 1e6:.2f} MB, hashes hold"),
        ("model", f"{spec.name} ({spec.network.name}), task {spec.task}"),
    ]
    for graph in spec.graphs:
        takes = ", ".join(f"{i.name}: {i}" for i in graph.inputs)
        gives = ", ".join(f"{i.name}: {i}" for i in graph.outputs)
        rows.append((f"graph {graph.name}", f"{takes} → {gives}"))
    rows += [(f"in: {name}", _brief(value)) for name, value in spec.input.described().items()]
    rows += [(f"out: {name}", _brief(value)) for name, value in spec.output.described().items()]
    rows.append(("baked", ", ".join(spec.baked) or "nothing: the host does every step"))
    rows += _evidence_rows(evidence)
    reference = artifact.manifest.reference
    if reference is not None:
        watched = len(reference.numbers) + len(reference.words)
        rows.append(("watched", f"{watched} features of {reference.rows:,} {reference.split} predictions"))
    rows.append(("golden", f"{len(artifact.manifest.samples)} samples; replay them with `edgewright verify`"))
    rows.append(("payload", f"SHA-256 {artifact.manifest.payload_sha256}"))
    return _aligned(rows)


def _aligned(rows: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join(f"{name:<{width}}{text}" for name, text in rows)


def _evidence_rows(evidence: Evidence) -> list[tuple[str, str]]:
    rows = [("status", evidence.status), ("made", evidence.created_utc)]
    if evidence.parent_sha256:
        rows.append(("parent", f"SHA-256 {evidence.parent_sha256}"))
    rows += [(f"precision: {name}", _brief(value)) for name, value in evidence.precision.items()]
    if evidence.parity:
        parity = evidence.parity
        rows.append(
            (
                "parity",
                f"worst difference {parity.worst_difference:.2e}, "
                f"{parity.agreement:.2%} same answers on {parity.samples} samples",
            )
        )
    rows += [
        (m.name, f"{m.text} (95 % interval {m.interval}, {m.samples} of {m.split})") for m in evidence.metrics
    ]
    rows += [(name, _brief(value)) for name, value in evidence.facts.items()]
    rows.append(("tools", ", ".join(f"{name} {version}" for name, version in evidence.tools.items())))
    return rows


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_brief(item)}" for key, item in value.items())
    if isinstance(value, list):
        shown = ", ".join(str(item) for item in value[:12])
        return shown + (f", … ({len(value)} in all)" if len(value) > 12 else "")
    return str(value)
