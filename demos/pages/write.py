"""The page of a language model: it writes on behind a prompt, token by token."""

from __future__ import annotations

import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from demos.pages.fields import field_for
from demos.pages.frame import choose_artifact
from demos.pages.handling import answered_stream
from demos.pages.subject import Opened, Subject

_MOST_TOKENS, _USUAL_TOKENS = 512, 64


def build(subject: Subject, folder: Path) -> None:
    """Put the page of `subject` where the app is being built."""
    chosen = choose_artifact(subject)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2):
            field = field_for(subject, folder)
            with gr.Row():
                write = gr.Button("Write", variant="primary")
                stop = gr.Button("Stop")
            controls = _controls()
            field.offer_examples()
        with gr.Column(scale=3):
            text = gr.HTML(_page("", ""))
            took = gr.Markdown(elem_classes="ew-took")

    def writing(label: str, value: Any, *asked: float) -> Iterator[tuple[str, str]]:
        yield from _written(subject[label], field.item(value), options_of(*asked))

    running = gr.on(
        [write.click, field.component.submit],
        answered_stream(writing),
        [chosen, field.component, *controls],
        [text, took],
        show_progress="hidden",
        api_visibility="private",
    )
    stop.click(None, cancels=[running], api_visibility="private")


def _controls() -> list[Any]:
    """In the order in which `options_of` takes their values."""
    return [
        gr.Slider(1, _MOST_TOKENS, value=_USUAL_TOKENS, step=1, label="Most tokens that are written"),
        gr.Slider(0.0, 2.0, value=0.8, step=0.05, label="Temperature: 0 takes the likeliest token"),
        gr.Slider(0, 200, value=0, step=1, label="Top-k: draw from so many tokens; 0 is all"),
        gr.Slider(0.05, 1.0, value=0.95, step=0.05, label="Top-p: draw from this share of the probability"),
        gr.Number(0, label="Seed: one seed writes one text", precision=0, minimum=0),
    ]


def options_of(tokens: float, temperature: float, top_k: float, top_p: float, seed: float) -> dict[str, Any]:
    """Options of `Predictor.generate` by what the sliders say: at their ends they mean none."""
    greedy = temperature == 0
    return {
        "max_tokens": int(tokens),
        "temperature": temperature,
        "top_k": None if greedy or not top_k else int(top_k),
        "top_p": None if greedy or top_p >= 1 else top_p,
        "seed": int(seed or 0),
    }


def _written(opened: Opened, prompt: str, options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The text so far and a word on it, with every piece."""
    begin = time.perf_counter()
    stream = opened.predictor.generate(prompt, stream=True, **options)
    written = ""
    for piece in stream:
        written += piece
        yield _page(stream.prompt, written), "writing …"
    result, seconds = stream.result, time.perf_counter() - begin
    rate = f"**{result.tokens / seconds:,.0f} tokens/s** on {opened.predictor.runtime.name}"
    ended = f"{result.tokens} tokens, ended by {result.finish_reason}"
    yield _page(result.prompt, result.text), f"{ended} · {rate}"


def _page(prompt: str, written: str) -> str:
    return (
        '<div class="ew-paper ew-text ew-high">'
        f'<span class="ew-soft">{escape(prompt)}</span>{escape(written)}</div>'
    )
