"""Pictures one by one, films, and the webcam: the three tabs of every page whose artifact takes pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import gradio as gr

from demos.pages.handling import answered, timed
from demos.pages.subject import Subject
from sdk.stream.annotated_video import AnnotatedVideo
from sdk.stream.overlay import draw_on_frame

WEBCAM_PERIOD_S = 0.15
_TOLD_EVERY = 10
"""Frames of a film between two words on how far it is."""


@dataclass(frozen=True)
class Moving:
    """What the tabs beside the one for single pictures need.

    Attributes:
        subject: The model.
        chosen: Which artifact answers.
        folder: For finished films.
        controls: Components whose values change how a result is shown.
        refine: From a result and their values to the result that is shown.
    """

    subject: Subject
    chosen: Any
    folder: Path
    controls: tuple[Any, ...] = ()
    refine: Callable[..., Any] = lambda result: result

    @contextmanager
    def tabs(self) -> Iterator[None]:
        """What is built inside stands on the tab for single pictures."""
        with gr.Tabs():
            with gr.Tab("Picture"):
                yield
            with gr.Tab("Film"):
                self._film()
            with gr.Tab("Webcam"):
                self._webcam()

    def _film(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column():
                film = gr.Video(sources=["upload"], label="Film", height=320)
                button = gr.Button("Annotate every frame", variant="primary")
            with gr.Column():
                annotated = gr.Video(
                    label="With the answers drawn on it", interactive=False, height=320, buttons=["download"]
                )
                took = gr.Markdown(elem_classes="ew-took")
        names = (self.folder / f"annotated-{number}.mp4" for number in count(1))

        def annotate(label: str, path: str | None, *values: Any) -> tuple[Any, str]:
            return (None, "") if path is None else self._annotated(label, path, next(names), values)

        button.click(
            answered(annotate),
            [self.chosen, film, *self.controls],
            [annotated, took],
            api_visibility="private",
        )

    def _annotated(self, label: str, path: str, target: Path, values: tuple[Any, ...]) -> tuple[str, str]:
        opened, progress, index = self.subject[label], gr.Progress(), -1

        def work() -> None:
            nonlocal index
            with opened.predictor.stream(path) as stream, AnnotatedVideo(target, stream.rate) as film:
                for frame in stream:
                    index = frame.index
                    film.write(replace(frame, result=self.refine(frame.result, *values)))
                    if index % _TOLD_EVERY == 0 and stream.total:
                        progress(index / stream.total, f"frame {index + 1} of {stream.total}")

        _, words = timed(opened, work)
        return str(
            target
        ), f"{index + 1} frames: {words.replace('this one call', 'all of it, drawing and all')}"

    def _webcam(self) -> None:
        with gr.Row(equal_height=False):
            camera = gr.Image(
                sources=["webcam"], streaming=True, type="numpy", label="Webcam", height=320, buttons=[]
            )
            with gr.Column():
                shown = gr.Image(label="Live", interactive=False, height=320, format="jpeg", buttons=[])
                took = gr.Markdown(elem_classes="ew-took")

        def see(label: str, frame: Any, *values: Any) -> tuple[Any, str]:
            if frame is None:
                return None, ""
            opened = self.subject[label]
            result, words = timed(opened, lambda: opened.predictor.predict(frame))
            return draw_on_frame(self.refine(result, *values)), words

        camera.stream(
            answered(see),
            [self.chosen, camera, *self.controls],
            [shown, took],
            stream_every=WEBCAM_PERIOD_S,
            concurrency_limit=1,
            show_progress="hidden",
            api_visibility="private",
        )
