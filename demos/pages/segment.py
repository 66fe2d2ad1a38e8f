"""The page of a segmentation network: a class for every pixel, and the share of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from demos.pages.fields import field_for
from demos.pages.frame import choose_artifact, live
from demos.pages.handling import timed
from demos.pages.moving import Moving
from demos.pages.subject import Subject
from sdk.results.segmentation import Segmentation
from sdk.results.segmentation_picture import palette

_SMALLEST_PX = 480
"""Smaller pictures are enlarged to it, so that masks can be pointed at."""


def build(subject: Subject, folder: Path) -> None:
    """Put the page of `subject` where the app is being built."""
    chosen = choose_artifact(subject)
    labels: list[str] = subject.spec.output.to_json()["labels"]
    with Moving(subject, chosen, folder).tabs(), gr.Row(equal_height=False):
        with gr.Column():
            field = field_for(subject, folder)
            field.offer_examples()
        with gr.Column():
            masks = gr.AnnotatedImage(
                show_label=False,
                color_map=_colours(labels),
                format="png",
                buttons=["fullscreen"],
            )
            shares = gr.Label(num_top_classes=8, label="Share of the pixels", show_heading=False)
            took = gr.Markdown(elem_classes="ew-took")

    def answer(label: str, value: Any) -> tuple[Any, Any, str]:
        item, opened = field.item(value), subject[label]
        if item is None:
            return None, None, ""
        result, words = timed(opened, lambda: opened.predictor.predict(item))
        found = {entry.label: entry.share for entry in result.shares}
        return _annotated(result), found, f"{result.summary()} · {words}"

    live([field.component.change, chosen.change], answer, [chosen, field.component], [masks, shares, took])


def _annotated(result: Segmentation) -> tuple[Any, list[Any]]:
    """The picture and a mask per class, both large enough to be looked at."""
    width, height = result.size_wh
    ratio = max(1.0, _SMALLEST_PX / max(width, height))
    size = (round(width * ratio), round(height * ratio))
    picture = result.source.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    masks = []
    for entry in result.shares:
        if entry.index == 0:  # mostly the background: left as it is, as in all pictures of results
            continue
        mask = Image.fromarray(result.of_class(entry.label)).resize(size, Image.Resampling.NEAREST)
        masks.append((np.asarray(mask, np.float32), entry.label))
    return picture, masks


def _colours(labels: list[str]) -> dict[str, str]:
    levels = palette(len(labels))
    return {label: "#" + bytes(levels[3 * at : 3 * at + 3]).hex() for at, label in enumerate(labels)}
