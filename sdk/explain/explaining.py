"""Explain one answer of a classifier, with what the artifact has: gradients, or maps in its graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes import Array, UsageError
from sdk.inputs.image import ImageInput
from sdk.kinds import Sample
from sdk.outputs.classification import ClassificationOutput
from sdk.outputs.map_placing import placing_of, resized
from sdk.results.explanation import Explanation

if TYPE_CHECKING:
    from sdk.predictor import Predictor
    from sdk.spec import Spec

MAPS = "maps"
"""Name of the graph output that holds class activation maps, float32 (N, classes, h, w)."""
GRAD_CAM, CLASS_MAP = "Grad-CAM", "class activation map"


def explain(predictor: Predictor, item: Any, label: str | None = None) -> Explanation:
    """Which parts of a picture speak for a label.

    Artifacts whose graph gives class activation maps use these (Zhou et al. 2016, "Learning Deep Features
    for Discriminative Localization"): they add up to the score. Checkpoints use Grad-CAM (Selvaraju et al.
    2017), by Captum.

    Args:
        predictor: Of a classifier of pictures.
        item: One picture, as `Predictor.predict` takes it.
        label: What is to be explained; None is the answer.

    Raises:
        InputError: The picture cannot be used.
        UsageError: The artifact is no classifier of pictures, has no such label, or neither maps nor
            gradients.
    """
    spec = predictor.spec
    _require_classifier(spec, predictor.artifact.path.name)
    arrays, samples = predictor.prepare([item])
    outputs = predictor.run(arrays)
    answer = predictor.finish(dict(outputs), samples)[0]
    index = answer.index if label is None else _index_of(label, spec)
    if MAPS in outputs:
        method, found = CLASS_MAP, np.asarray(outputs[MAPS][0, index], np.float32)
    elif predictor.artifact.suffix == ".safetensors":
        from sdk.explain.grad_cam import grad_cam

        rows = {name: array[_upright_row(spec)][None] for name, array in arrays.items()}
        method, found = GRAD_CAM, grad_cam(predictor.runtime, rows, index)
    else:
        raise UsageError(
            f"Artifact {predictor.artifact.path.name!r}",
            got="a graph without class activation maps",
            expected=f"an output {MAPS!r}, or a .safetensors checkpoint",
            fix="Export it again with --class-maps, or explain with the checkpoint.",
        )
    return Explanation(
        label=spec.output.to_json()["labels"][index],
        score=float(answer.scores[index]),
        index=index,
        answer=answer.label,
        method=method,
        heatmap=_on_picture(found, samples[0], spec),
        source=samples[0].source,
    )


def _on_picture(found: Array, sample: Sample, spec: Spec) -> Array:
    """What speaks for the label, 0..1, at the original's size; 0 where the network did not look."""
    positive = np.maximum(np.nan_to_num(found), 0.0)
    top = float(positive.max())
    shares = (positive / top if top > 0 else positive).astype(np.float32)
    geometry: Mapping[str, float] = sample.geometry
    image = spec.input
    assert isinstance(image, ImageInput)
    placing = placing_of(geometry, image.size_wh, (shares.shape[1], shares.shape[0]))
    whole = np.zeros((int(geometry["height"]), int(geometry["width"])), np.float32)
    left, upper, right, lower = placing.seen
    whole[upper:lower, left:right] = np.clip(resized(shares, placing), 0.0, 1.0)
    return whole


def _upright_row(spec: Spec) -> int:
    """Which of the rows that show one picture shows it as it is."""
    image = spec.input
    assert isinstance(image, ImageInput)
    known = "views" not in spec.baked and "identity" in image.views
    return image.views.index("identity") if known else 0


def _index_of(label: str, spec: Spec) -> int:
    labels: list[str] = spec.output.to_json()["labels"]
    if label not in labels:
        raise UsageError("Label", got=repr(label), expected=f"one of {', '.join(labels[:12])}",
                         fix="Correct it.")  # fmt: skip
    return labels.index(label)


def _require_classifier(spec: Spec, name: str) -> None:
    if not isinstance(spec.output, ClassificationOutput) or not isinstance(spec.input, ImageInput):
        raise UsageError(
            f"Artifact {name!r}",
            got=f"one that answers with {spec.output.kind} to {spec.input.kind}",
            expected="a classifier of pictures",
            fix="Leave --explain out.",
        )
