"""A picture to be chosen, taken or pasted, handed on as the file that it is."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import gradio as gr


def _path_of_upload(component: Any, payload: Any) -> Any:
    """The path of the upload itself.

    Gradio would decode the file and write it again; EXIF, grey levels and what is broken about it are for the
    artifact's own rules. A frame of a webcam, which may come as a data URL, is still Gradio's to decode.
    """
    if payload is None or (payload.url and payload.url.startswith("data:")):
        return gr.Image.preprocess(component, payload)
    return payload.path


# By hand, not with `class`: the metaclass of Gradio's components (6.31) writes a stub beside the source file
# of every subclass, into a folder that may not even be writable where this is installed.
PictureField: Any = ABCMeta.__new__(
    type(gr.Image),
    "PictureField",
    (gr.Image,),
    {
        "__doc__": "`gr.Image` that gives the uploaded file itself.",
        "__module__": __name__,
        "is_template": True,  # Gradio's mark of a component that is drawn as its base class is
        "preprocess": _path_of_upload,
    },
)
