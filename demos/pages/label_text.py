"""The page of a classifier of texts: labels while a person types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from demos.pages.fields import field_for
from demos.pages.frame import choose_artifact, live
from demos.pages.handling import timed
from demos.pages.subject import Subject
from sdk.predictor import Predictor


def build(subject: Subject, folder: Path) -> None:
    """Put the page of `subject` where the app is being built."""
    chosen = choose_artifact(subject)
    with gr.Row(equal_height=False):
        with gr.Column():
            field = field_for(subject, folder)
            field.offer_examples()
        with gr.Column():
            ranked = gr.Label(num_top_classes=subject.spec.output.to_json()["top_k"], label="Answer")
            took = gr.Markdown(elem_classes="ew-took")

    def answer(label: str, value: Any) -> tuple[Any, str]:
        item, opened = field.item(value), subject[label]
        if item is None:
            return None, ""
        result, words = timed(opened, lambda: opened.predictor.predict(item))
        return {
            entry.label: entry.score for entry in result.top
        }, f"{_length(opened.predictor, item)} · {words}"

    live([field.component.change, chosen.change], answer, [chosen, field.component], [ranked, took])


def _length(predictor: Predictor, text: str) -> str:
    """How much of a text the model reads."""
    geometry = predictor.spec.input.load(text).geometry
    more = ", the rest is cut off" if geometry["cut"] else ""
    return f"{geometry['tokens']:.0f} tokens{more}"
