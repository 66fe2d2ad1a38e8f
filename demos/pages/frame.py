"""What every page has: which artifact runs, its contract and proof, and answers that follow the input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
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
    )
    chosen.change(lambda label: card(subject[label]), chosen, shown, api_visibility="private")
    return chosen


def live(events: Sequence[Any], handler: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
    """Answer at each of `events`; of many in a row, to the last.

    Args:
        events: Such as ``[field.change, slider.change]``.
        handler: Takes the values of `inputs`, gives those of `outputs`.
        inputs: Components.
        outputs: Components.
    """
    gr.on(
        list(events),
        answered(handler),
        inputs,
        outputs,
        trigger_mode="always_last",
        show_progress="minimal",
        api_visibility="private",
    )


def shown_picture(label: str, **options: Any) -> gr.Image:
    """A place for a picture that is an answer."""
    return gr.Image(
        label=label,
        interactive=False,
        format="png",
        buttons=["fullscreen", "download"],
        elem_classes="ew-shown",
        **options,
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]], numbers: int = 1) -> str:
    """Rows as an HTML table.

    Args:
        heads: Of the columns.
        rows: Cells; `Html` is taken as it is, all else is text.
        numbers: Columns from this one on are set to the right.
    """
    sides = ['class="number"' if at >= numbers else "" for at in range(len(heads))]
    head = "".join(f"<th {side}>{escape(name)}</th>" for side, name in zip(sides, heads, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td {side}>{_cell(cell)}</td>" for side, cell in zip(sides, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return f'<div class="ew-table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


class Html(str):
    """Text of a cell that is HTML already."""


def _cell(cell: Any) -> str:
    return str(cell) if isinstance(cell, Html) else escape(str(cell))
