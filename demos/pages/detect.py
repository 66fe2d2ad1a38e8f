"""The page of a detector: boxes on pictures, films and the webcam, from a score on that a person sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from demos.pages.fields import field_for
from demos.pages.frame import choose_artifact, live, shown_picture, table
from demos.pages.handling import timed
from demos.pages.moving import Moving
from demos.pages.subject import Subject
from sdk.results.detections import Detections

_MOST_ROWS = 20


def build(subject: Subject, folder: Path) -> None:
    """Put the page of `subject` where the app is being built."""
    chosen = choose_artifact(subject)
    lowest: float = subject.spec.output.to_json()["score_threshold"]
    least = gr.Slider(lowest, 1.0, value=lowest, step=0.01, label="Lowest score that is shown")
    with Moving(subject, chosen, folder, (least,), at_least).tabs(), gr.Row(equal_height=False):
        with gr.Column():
            field = field_for(subject, folder)
            field.offer_examples()
        with gr.Column():
            boxes = shown_picture("Boxes")
            took = gr.Markdown(elem_classes="ew-took")
            found = gr.HTML(max_height=420)

    def answer(label: str, value: Any, score: float) -> tuple[Any, str, str]:
        item, opened = field.item(value), subject[label]
        if item is None:
            return None, "", ""
        result, words = timed(opened, lambda: opened.predictor.predict(item))
        shown = at_least(result, score)
        return shown.plot(), f"{shown.summary()} · {words}", _listed(shown)

    events = [field.component.change, chosen.change, least.change]
    live(events, answer, [chosen, field.component, least], [boxes, took, found])


def at_least(result: Detections, score: float) -> Detections:
    """The boxes of a result with at least so high a score."""
    kept = np.flatnonzero(result.scores >= np.float32(score))
    return replace(
        result,
        boxes_xyxy=result.boxes_xyxy[kept],
        scores=result.scores[kept],
        class_ids=result.class_ids[kept],
        labels=tuple(result.labels[at] for at in kept),
    )


def _listed(result: Detections) -> str:
    rows = [
        (each.label, f"{each.score:.1%}", *(f"{edge:.0f}" for edge in each.box_xyxy))
        for each, _ in zip(result, range(_MOST_ROWS), strict=False)
    ]
    return table(("label", "score", "left", "top", "right", "bottom"), rows) if rows else ""
