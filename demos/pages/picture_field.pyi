"""A picture to be chosen, taken or pasted, handed on as the file that it is."""

from __future__ import annotations

from typing import Any

import gradio as gr

class PictureField(gr.Image):
    """`gr.Image` that gives the path of the uploaded file itself.

    Gradio would decode the file and write it again; EXIF, grey levels and what is broken about it are for the
    artifact's own rules. A frame of a webcam, which comes as a data URL, is still Gradio's to decode.
    """

    is_template = True  # Gradio's mark of a component that is drawn as its base class is

    def preprocess(self, payload: Any) -> Any:
        """The path of the upload; None where there is none."""
        if payload is None or (payload.url and payload.url.startswith("data:")):
            return super().preprocess(payload)
        return payload.path
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component
