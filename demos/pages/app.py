"""The demo as one Gradio app: a tab per model, and one that compares a model's artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from demos.pages import compare
from demos.pages.subject import Subject
from demos.pages.table import page_for

_STYLE = Path(__file__).parents[1] / "demo_style.css"
FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def build_app(subjects: Sequence[Subject], folder: Path) -> gr.Blocks:
    """All pages.

    Args:
        subjects: At least one model.
        folder: For the files of examples; must stay as long as the app runs.
    """
    title = f"{', '.join(subject.name for subject in subjects[:3])} – Edgewright demo"
    with gr.Blocks(title=title, analytics_enabled=False) as app:
        gr.HTML('<header class="ew-top"><b>Edgewright</b> demo<span>every answer below is computed on this '
                "machine, by the artifact itself</span></header>")  # fmt: skip
        pages = [(subject.name, page_for(subject), subject) for subject in subjects]
        pages += [
            (f"Compare {s.name}", compare.build, s) for s in subjects if len(s.opened) + len(s.left_out) > 1
        ]
        if len(pages) == 1:
            _, build, subject = pages[0]
            build(subject, folder)
            return app
        with gr.Tabs():
            for name, build, subject in pages:
                with gr.Tab(name):
                    build(subject, folder)
    return app


def theme() -> gr.Theme:
    """Fonts that the reader's machine has, so that nothing is fetched; the colours of the reports."""
    return gr.themes.Base(primary_hue="blue", neutral_hue="slate", font=FONT, font_mono=MONO).set(
        body_background_fill="#f6f7f9",
        body_background_fill_dark="#0f141a",
        block_radius="12px",
        block_background_fill_dark="#171e26",
        block_border_color_dark="#2a3440",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
    )


def style() -> str:
    """The pages' own style."""
    return _STYLE.read_text(encoding="utf-8")
