"""What every page has: which artifact runs, and its contract and proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from demos.pages.card import card
from demos.pages.handling import answered
from demos.pages.subject import Subject


def choose_artifact(subject: Subject) -> gr.Dropdown:
    """The card of one of a model's artifacts, and the choice between them where there are several."""
    shown = gr.HTML(card(subject.opened[0]))
    chosen = gr.Dropdown(
        subject.labels,
        value=subject.labels[0],
        label="Artifact that answers",
        visible=len(subject.opened) > 1,
        elem_classes="ew-chosen",
    )
    chosen.change(lambda label: card(subject[label]), chosen, shown, api_visibility="private")
    return chosen


def live(triggers: Sequence[Any], handler: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
    """Answer whenever one of `triggers` changes; of many changes in a row, to the last."""
    gr.on(
        [trigger.change for trigger in triggers],
        answered(handler),
        inputs,
        outputs,
        trigger_mode="always_last",
        show_progress="minimal",
        api_visibility="private",
    )
