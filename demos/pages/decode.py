"""The page of a model that makes one text of another: the text, what else was weighed, where it looked."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from demos.pages.fields import field_for
from demos.pages.frame import choose_artifact, live, shown_picture, table
from demos.pages.handling import timed
from demos.pages.subject import Subject
from sdk.results.generated_text import GeneratedText

_MOST_BEAMS = 16
_NOTHING = '<div class="ew-paper ew-said"></div>'


def build(subject: Subject, folder: Path) -> None:
    """Put the page of `subject` where the app is being built."""
    chosen = choose_artifact(subject)
    told = subject.spec.output.to_json()
    with gr.Row(equal_height=False):
        with gr.Column():
            field = field_for(subject, folder)
            beams = gr.Slider(
                1,
                max(_MOST_BEAMS, told["beams"]),
                value=told["beams"],
                step=1,
                label="Texts weighed side by side",
            )
            field.offer_examples()
        with gr.Column():
            text = gr.HTML(_NOTHING)
            took = gr.Markdown(elem_classes="ew-took")
            others = gr.HTML()
            looked = shown_picture("Where it looked while it wrote")

    def answer(label: str, value: Any, wide: float) -> tuple[str, str, str, Any]:
        item, opened = field.item(value), subject[label]
        if item is None:
            return _NOTHING, "", "", None
        result, words = timed(opened, lambda: opened.predictor.generate(item, beams=int(wide)))
        said = f'<div class="ew-paper ew-text ew-said">{escape(result.text)}</div>'
        ended = f"{result.tokens} tokens, ended by {result.finish_reason} · {words}"
        return said, ended, _weighed(result), result.plot() if result.attention else None

    events = [field.component.change, chosen.change, beams.change]
    live(events, answer, [chosen, field.component, beams], [text, took, others, looked])


def _weighed(result: GeneratedText) -> str:
    """The texts of a search with the mean log-probability of their tokens; nothing for a single one."""
    if not result.alternatives:
        return ""
    rows = [(result.text, f"{result.score:.3f}"), *((a.text, f"{a.score:.3f}") for a in result.alternatives)]
    return table(("text", "score"), rows)
