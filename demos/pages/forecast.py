"""The page of a forecaster: the rows to come, with their intervals, as a curve and as numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from demos.pages.fields import field_for
from demos.pages.frame import choose_artifact, live, shown_picture, table
from demos.pages.handling import timed
from demos.pages.subject import Subject
from sdk.results.forecast import Forecast


def build(subject: Subject, folder: Path) -> None:
    """Put the page of `subject` where the app is being built."""
    chosen = choose_artifact(subject)
    variables = bool(subject.spec.output.to_json()["variables"])
    with gr.Row(equal_height=False):
        with gr.Column(scale=2):
            field = field_for(subject, folder)
            field.offer_examples()
        with gr.Column(scale=3):
            curve = shown_picture("Forecast")
            took = gr.Markdown(elem_classes="ew-took")
            shares = gr.Label(label="What it looked at", show_heading=False, visible=variables)
            numbers = gr.HTML(max_height=360)

    def answer(label: str, value: Any) -> tuple[Any, str, Any, str]:
        item, opened = field.item(value), subject[label]
        if item is None:
            return None, "", None, ""
        result, words = timed(opened, lambda: opened.predictor.predict(item))
        looked = dict(result.variables) if result.variables else None
        return result.plot(), f"{result.summary()} · {words}", looked, _numbers(result)

    outputs = [curve, took, shares, numbers]
    live([field.component.change, chosen.change], answer, [chosen, field.component], outputs)


def _numbers(result: Forecast) -> str:
    heads = ("time", *(f"{level:.0%}" for level in result.levels))
    rows = zip(result.times, result.quantiles.tolist(), strict=True)
    return table(heads, [(str(moment), *(f"{value:,.4g}" for value in row)) for moment, row in rows])
