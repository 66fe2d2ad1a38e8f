"""The page of a classifier of pictures: its best labels, and what in the picture speaks for one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from demos.pages.fields import field_for
from demos.pages.frame import choose_artifact, live, shown_picture
from demos.pages.handling import timed
from demos.pages.moving import Moving
from demos.pages.subject import Opened, Subject
from sdk.explain.explaining import MAPS

_ANSWER = "the answer"


def build(subject: Subject, folder: Path) -> None:
    """Put the page of `subject` where the app is being built."""
    chosen = choose_artifact(subject)
    told = subject.spec.output.to_json()
    some = any(explains(each) for each in subject.opened)
    with Moving(subject, chosen, folder).tabs(), gr.Row(equal_height=False):
        with gr.Column():
            field = field_for(subject, folder)
            field.offer_examples()
        with gr.Column():
            ranked = gr.Label(num_top_classes=told["top_k"], label="Answer")
            took = gr.Markdown(elem_classes="ew-took")
            asked = gr.Dropdown([_ANSWER, *told["labels"]], value=_ANSWER, label="Explain", visible=some)
            why = shown_picture("What speaks for it", visible=some)

    def answer(label: str, value: Any, wanted: str) -> tuple[Any, Any, Any]:
        item, opened = field.item(value), subject[label]
        if item is None:
            return None, "", None
        result, words = timed(opened, lambda: opened.predictor.predict(item))
        picture = None
        if explains(opened):
            picture = opened.predictor.explain(item, None if wanted == _ANSWER else wanted).plot()
        return {entry.label: entry.score for entry in result.top}, words, picture

    events = [field.component.change, chosen.change, asked.change]
    live(events, answer, [chosen, field.component, asked], [ranked, took, why])


def explains(opened: Opened) -> bool:
    """Whether an artifact can say what in a picture speaks for a label."""
    maps = any(info.name == MAPS for info in opened.spec.graph().outputs)
    return maps or opened.artifact.suffix == ".safetensors"
