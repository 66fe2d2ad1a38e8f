"""The page of a painter of pictures: how strongly it paints, and at what size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from demos.pages.fields import field_for
from demos.pages.frame import choose_artifact, live, shown_picture
from demos.pages.handling import timed
from demos.pages.moving import Moving
from demos.pages.subject import Subject
from sdk.inputs.image_decode import decode_image
from sdk.results.generated_image import GeneratedImage

_USUAL_PX, _STEP_PX = 640, 32


def build(subject: Subject, folder: Path) -> None:
    """Put the page of `subject` where the app is being built."""
    chosen = choose_artifact(subject)
    told = subject.spec.input.to_json()
    free = subject.spec.input.any_size
    with gr.Row():
        strength = gr.Slider(
            0.0, 1.0, value=1.0, step=0.05, label="Strength: 0 is the picture, 1 the painting"
        )
        smallest, largest = told.get("smallest_px", 16), told.get("largest_px", 2048)
        size = gr.Slider(
            smallest,
            largest,
            value=min(_USUAL_PX, largest),
            step=_STEP_PX,
            label="Longer side in pixels: the smaller, the coarser the strokes",
            visible=free,
        )
    with Moving(subject, chosen, folder, (strength,), mixed).tabs(), gr.Row(equal_height=False):
        with gr.Column():
            field = field_for(subject, folder)
            field.offer_examples()
        with gr.Column():
            painted = shown_picture("Painted")
            took = gr.Markdown(elem_classes="ew-took")

    def answer(label: str, value: Any, share: float, longer_px: float) -> tuple[Any, str]:
        item, opened = field.item(value), subject[label]
        if item is None:
            return None, ""
        item = resized(decode_image(item), int(longer_px)) if free else item
        result, words = timed(opened, lambda: opened.predictor.predict(item))
        return mixed(result, share).image, f"{result.summary()} · {words}"

    events = [field.component.change, chosen.change, strength.change, size.change]
    live(events, answer, [chosen, field.component, strength, size], [painted, took])


def resized(picture: Image.Image, longer_px: int) -> Image.Image:
    """A picture whose longer side has so many pixels."""
    ratio = longer_px / max(picture.size)
    size = (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio)))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def mixed(result: GeneratedImage, share: float) -> GeneratedImage:
    """`share` of what was painted over the rest of what it was painted from."""
    if share >= 1:
        return result
    mode = "RGB" if result.pixels.shape[2] > 1 else "L"
    plain = np.asarray(
        result.source.convert(mode).resize(result.size_wh, Image.Resampling.LANCZOS), np.float32
    )
    plain = plain.reshape(result.pixels.shape)
    pixels = np.rint(plain + np.float32(share) * (result.pixels - plain)).astype(np.uint8)
    return replace(result, pixels=pixels)
