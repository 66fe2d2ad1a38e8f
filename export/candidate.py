"""A candidate: an artifact that was lowered and not yet proved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from export.calibration import CalibrationSet
from export.class_maps import with_class_maps
from export.data_dependent import require_holdable
from export.layers import layers_of, require_layers
from export.lowering import Lowered, Request, lowering_for
from export.recipe import Recipe
from runtimes.torch_runtime import load_network
from sdk.artifact import MANIFEST_VERSION, NOT_RUN, Artifact, Evidence, GoldenSample, Manifest, write_artifact
from sdk.artifact.provenance import now_utc, versions_of
from sdk.monitor.reference import Reference
from sdk.predictor import Predictor
from sdk.spec import Spec

_PACKAGES = (
    "edgewright",
    "torch",
    "torchvision",
    "torchao",
    "onnx",
    "onnxruntime",
    "executorch",
    "tensorrt",
    "tensorrt_rtx_cu13",
    "numpy",
    "pillow",
)
_EVIDENCE_ROOM, _LAYER_ROOM = 3 * 1024, 120
"""Bytes left in a `.pte` for evidence that is measured after lowering: in all, and per layer for ranges."""

DEFAULT_MAX_BATCH = 8
"""Of engines that plan their memory ahead."""
HERITAGE = ("pruning", "sparsity", "qat")
"""Facts of a checkpoint that its artifacts tell as well."""


def artifact_name(checkpoint: Artifact, recipe: Recipe, suffix: str) -> str:
    """Such as ``product_int8.onnx``: the checkpoint's own name, and the precision unless it is fp32."""
    return f"{checkpoint.path.stem}{recipe.label}{suffix}"


def lower_candidate(
    checkpoint: Artifact,
    target: str,
    recipe: Recipe,
    calibration: CalibrationSet | None,
    folder: Path,
    *,
    max_batch: int,
    tolerance: float = 1.0,
    reference: Reference | None = None,
) -> Artifact:
    """Lower a checkpoint and write the result, marked "built, not run".

    Args:
        checkpoint: Where its weights come from.
        target: One of `export.lowering.TARGETS`.
        recipe: Its precision.
        calibration: Real inputs, where the recipe needs them.
        folder: Where it is written.
        max_batch: Largest batch of engines that plan their memory ahead.
        tolerance: For its evidence.
        reference: What inputs and the checkpoint's answers look like; see `sdk.monitor.reference`.

    Raises:
        EngineError: A compiler is missing or refuses the network.
        ProofError: The precision that was read back is not the one asked for, or an activation is NaN.
        UsageError: The recipe names a layer that is not there.
    """
    network, spec = load_network(checkpoint.program()), checkpoint.spec
    if recipe.class_maps:
        network, spec = with_class_maps(network, spec)
    require_layers(network, recipe.keep, "--keep")
    require_holdable(network, target, recipe)
    lowering = lowering_for(target)
    known = replace(checkpoint.manifest, reference=reference)
    room = len(known.to_bytes()) + _EVIDENCE_ROOM + _LAYER_ROOM * len(layers_of(network))
    lowered = lowering.lower(network, spec, Request(recipe, max_batch, room, calibration))
    manifest = Manifest(
        version=MANIFEST_VERSION,
        spec=lowered.spec,
        samples=_golden(checkpoint, lowered.spec),
        evidence=_evidence(checkpoint, recipe, lowered, tolerance),
        payload_sha256="",
        reference=reference,
    )
    path = folder / artifact_name(checkpoint, recipe, lowering.suffix)
    return write_artifact(path, lowered.payload, manifest)


def _golden(checkpoint: Artifact, spec: Spec) -> tuple[GoldenSample, ...]:
    """The checkpoint's golden samples; made again where the artifact's graph gives something else."""
    samples, kind = checkpoint.manifest.samples, checkpoint.spec.output
    if not samples or type(kind) is type(spec.output):
        return samples
    items = [sample.item() for sample in samples]
    with Predictor(checkpoint.path) as predictor:
        outputs = kind.seen_as(spec.output, predictor.outputs(items))
    return tuple(
        GoldenSample.of(item, {name: array[row] for name, array in outputs.items()})
        for row, item in enumerate(items)
    )


def _evidence(checkpoint: Artifact, recipe: Recipe, lowered: Lowered, tolerance: float) -> Evidence:
    parent = checkpoint.manifest
    facts: dict[str, Any] = {
        key: parent.evidence.facts[key] for key in HERITAGE if key in parent.evidence.facts
    }
    facts |= {"recipe": recipe.to_json(), **lowered.facts}
    if lowered.calibration:
        facts["calibration"] = lowered.calibration
    return Evidence(
        status=NOT_RUN,
        created_utc=now_utc(),
        parent_sha256=parent.payload_sha256,
        precision=lowered.precision,
        tolerance=tolerance,
        parity=None,
        metrics=(),
        tools=versions_of(_PACKAGES),
        facts=facts,
    )
