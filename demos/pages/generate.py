"""The page of a generator of pictures: so many from a seed."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from demos.pages.fields import field_for
from demos.pages.frame import choose_artifact, live, shown_picture
from demos.pages.handling import timed
from demos.pages.subject import Subject
from sdk.inputs.noise import LEAST_TRUNCATION, STRIDE
from sdk.results.picture_grid import grid

_MOST, _USUAL = 64, 16
_WIDEST = 4.0
"""Deviations from zero: beyond it hardly anything is drawn, so that it stands for no limit."""
_SHOWN_PX = 160


def build(subject: Subject, folder: Path) -> None:
    """Put the page of `subject` where the app is being built."""
    chosen = choose_artifact(subject)
    with gr.Row(equal_height=False):
        with gr.Column(scale=1):
            field = field_for(subject, folder)
            another = gr.Button("Another seed", variant="primary")
            count = gr.Slider(1, _MOST, value=_USUAL, step=1, label="How many pictures")
            limit = gr.Slider(
                LEAST_TRUNCATION,
                _WIDEST,
                value=_WIDEST,
                step=0.1,
                label="Truncation: the lower, the plainer and the more alike",
            )
            field.offer_examples()
        with gr.Column(scale=2):
            pictures = shown_picture("Pictures")
            took = gr.Markdown(elem_classes="ew-took")

    def answer(label: str, value: Any, many: float, widest: float) -> tuple[Any, str]:
        seed, opened = field.item(value), subject[label]
        if seed is None:
            return None, ""
        truncation = None if widest >= _WIDEST else widest
        made, words = timed(
            opened, lambda: opened.predictor.generate(int(many), seed=seed, truncation=truncation)
        )
        return grid(
            [enlarged(result.image) for result in made]
        ), f"{len(made)} pictures of {made[0].summary()} · {words}"

    another.click(lambda: secrets.randbelow(STRIDE), None, field.component, api_visibility="private")
    events = [field.component.change, chosen.change, count.change, limit.change]
    live(events, answer, [chosen, field.component, count, limit], [pictures, took])


def enlarged(picture: Image.Image) -> Image.Image:
    """A small picture with its pixels made visible."""
    times = _SHOWN_PX // max(picture.size)
    if times < 2:
        return picture
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
