"""The page of a model of which no more is known than what it takes and gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from demos.pages.fields import field_for
from demos.pages.frame import choose_artifact, live, table
from demos.pages.handling import timed
from demos.pages.subject import Subject
from sdk.results.arrays import Arrays

_MOST_VALUES = 2000


def build(subject: Subject, folder: Path) -> None:
    """Put the page of `subject` where the app is being built."""
    chosen = choose_artifact(subject)
    with gr.Row(equal_height=False):
        with gr.Column():
            field = field_for(subject, folder)
            field.offer_examples()
        with gr.Column():
            took = gr.Markdown(elem_classes="ew-took")
            outputs = gr.HTML()
            data = gr.JSON(label="Answer", max_height=360)

    def answer(label: str, value: Any) -> tuple[str, str, Any]:
        item, opened = field.item(value), subject[label]
        if item is None:
            return "", "", None
        result, words = timed(opened, lambda: opened.predictor.predict(item))
        if not isinstance(result, Arrays):
            return f"{result.summary()} · {words}", "", result.to_dict()
        small = sum(array.size for array in result.values.values()) <= _MOST_VALUES
        return words, _outputs(result), result.to_dict() if small else None

    live([field.component.change, chosen.change], answer, [chosen, field.component], [took, outputs, data])


def _outputs(result: Arrays) -> str:
    rows = []
    for name, array in result.values.items():
        number = array.dtype.kind in "fiub" and array.size
        spread = (
            [f"{value:.5g}" for value in (array.min(), array.mean(), array.max())] if number else ["–"] * 3
        )
        rows.append((name, f"{array.dtype} {tuple(array.shape)}", *spread))
    return table(("output", "array", "least", "mean", "most"), rows, numbers=2)
