"""The end of a run: judge the best epoch through the spec, and write everything that is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from safetensors.torch import load_file
from torch import nn

from sdk.artifact import (
    MANIFEST_VERSION,
    TRAINED,
    Artifact,
    Evidence,
    GoldenSample,
    Manifest,
    Metric,
    write_artifact,
)
from sdk.artifact.provenance import now_utc, versions_of
from sdk.atomic_write import atomic_write
from sdk.codec import to_json
from sdk.golden import make_golden_samples
from train.batches import outputs_of_items, predict_split, raw_outputs_of_split
from train.callbacks import weights_bytes
from train.plots import curves_png
from train.qat import network_with
from train.run import Run
from train.tasks.base import Report

GOLDEN_SAMPLES = 8
TOLERANCE = 1e-3
"""Largest difference of an activated output that `verify` accepts elsewhere. Other CPUs and other versions of
torch add in another order, which moves a probability by about 1e-6; a wrong resize or normalisation moves it
by far more than this."""

_PACKAGES = ("edgewright", "torch", "torchvision", "lightning", "numpy", "pillow")


@dataclass(frozen=True)
class Finished:
    """What was written, and how good it is."""

    artifact: Artifact
    metrics: tuple[Metric, ...]
    report: Report


def finish_run(run: Run, history: list[dict[str, Any]], best_epoch: int) -> Finished:
    """Load the best epoch's weights, run the proof split through the spec, and write the results.

    Writes the pictures and ``metrics.json`` first and the checkpoint last: where it is, the rest is.
    """
    # On the CPU: a GPU's convolutions round to TF32, which is not what the artifact promises.
    network = network_with(run.plan.network.cpu(), load_file(run.folder.best))
    plan = run.task.calibrated(
        replace(run.plan, network=network),
        lambda split: raw_outputs_of_split(
            network, run.plan.spec, split, run.options.batch_size, run.options.num_workers or 0
        ),
    )
    run = replace(run, plan=plan)
    plan, options, folder = run.plan, run.options, run.folder
    proof = plan.splits.proof
    results = predict_split(network, plan.spec, proof, options.batch_size, options.num_workers or 0)
    metrics = run.task.measure(results, proof)
    report = run.task.report(results, proof)
    for name, picture in {**report.pictures, "curves.png": curves_png(history, run.task.metric)}.items():
        atomic_write(folder.root / name, picture)
    figures = {
        "split": proof.name,
        "metrics": [to_json(metric) for metric in metrics],
        "best_epoch": best_epoch,
        **report.figures,
        "history": history,
    }
    atomic_write(folder.metrics, json.dumps(figures, indent=2))
    manifest = Manifest(
        version=MANIFEST_VERSION,
        spec=plan.spec,
        samples=_golden(run),
        evidence=_evidence(run, metrics, best_epoch),
        payload_sha256="",
    )
    artifact = write_artifact(folder.artifact(plan.spec.name), weights_bytes(network), manifest)
    return Finished(artifact, metrics, report)


def _evidence(run: Run, metrics: tuple[Metric, ...], best_epoch: int) -> Evidence:
    options = run.options
    facts = {
        "model": options.model,
        "seed": options.seed,
        "epochs": options.epochs,
        "best_epoch": best_epoch,
        "data_sha256": run.data_sha256,
        **run.plan.facts,
    }
    return Evidence(
        status=TRAINED,
        created_utc=now_utc(),
        parent_sha256=run.plan.parent_sha256,
        precision=_precision(run.plan.network),
        tolerance=TOLERANCE,
        parity=None,
        metrics=metrics,
        tools=versions_of(_PACKAGES),
        facts=facts,
    )


def _golden(run: Run) -> tuple[GoldenSample, ...]:
    plan, proof = run.plan, run.plan.splits.proof
    items = [proof.items[row] for row in run.task.golden_rows(proof, GOLDEN_SAMPLES)]
    return make_golden_samples(
        plan.spec, items, lambda encoded: outputs_of_items(plan.network, plan.spec, encoded)
    )


def _precision(network: nn.Module) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for parameter in network.parameters():
        name = str(parameter.dtype).removeprefix("torch.")
        counts[name] = counts.get(name, 0) + parameter.numel()
    return {"requested": "fp32", "weights": counts}
