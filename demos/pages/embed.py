"""The page of an embedding network: how alike two pictures are to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from demos.pages.fields import Field, field_for, picture_field
from demos.pages.frame import choose_artifact, live, shown_picture
from demos.pages.handling import timed
from demos.pages.subject import Subject
from sdk.inputs.image import ImageInput


def build(subject: Subject, folder: Path) -> None:
    """Put the page of `subject` where the app is being built."""
    chosen = choose_artifact(subject)
    similar = gr.HTML()
    took = gr.Markdown(elem_classes="ew-took")
    with gr.Row(equal_height=False):
        with gr.Column():
            first = field_for(subject, folder)
            first.offer_examples()
            left = shown_picture("First vector")
        with gr.Column():
            second = _second(subject, first, folder)
            second.offer_examples()
            right = shown_picture("Second vector")

    def answer(label: str, one: Any, other: Any) -> tuple[str, str, Any, Any]:
        opened = subject[label]
        items = [field.item(value) for field, value in ((first, one), (second, other))]
        there = [item for item in items if item is not None]
        if not there:
            return "", "", None, None
        results, words = timed(opened, lambda: [opened.predictor.predict(item) for item in there])
        found = iter(results)
        pictures = [None if item is None else next(found).plot() for item in items]
        if len(there) < 2:
            return "", "Choose another picture to compare with", *pictures
        return _said(results[0].similarity(results[1])), words.replace("this one call", "both"), *pictures

    events = [first.component.change, second.component.change, chosen.change]
    live(events, answer, [chosen, first.component, second.component], [similar, took, left, right])


def _second(subject: Subject, first: Field, folder: Path) -> Field:
    """Another input of the kind of the first, with the same examples."""
    kind = subject.spec.input
    if isinstance(kind, ImageInput):
        return picture_field(first.examples, kind=kind, dicom=kind.kind == "dicom", label="Another picture")
    return field_for(subject, folder)


def _said(cosine: float) -> str:
    share = max(0.0, min(1.0, (1 + cosine) / 2))
    return (
        '<div class="ew-card"><div class="ew-soft">Similarity (cosine, from −1 to 1)</div>'
        f'<div class="ew-big">{cosine:+.3f}</div>'
        f'<div class="ew-gauge"><i style="width:{share:.1%}"></i></div></div>'
    )
