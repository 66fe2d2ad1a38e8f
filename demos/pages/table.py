"""Which page a model gets, by what its spec says it takes and answers."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from demos.pages.subject import Subject
from sdk.inputs.image import ImageInput

_BY_OUTPUT = {
    "box_rows": "detect",
    "candidate_boxes": "detect",
    "final_boxes": "detect",
    "yolo_grid": "detect",
    "segmentation": "segment",
    "forecast": "forecast",
    "embedding": "embed",
    "generated_text": "write",
    "decoded_text": "decode",
}


def page_for(subject: Subject) -> Callable[[Subject, Path], None]:
    """The `build` of the page that shows a model best; where nothing is known of it, of one for arrays."""
    fed, read = subject.spec.input, subject.spec.output.kind
    name = _BY_OUTPUT.get(read, "plain")
    if read == "classification" and isinstance(fed, ImageInput):
        name = "classify"
    elif read == "classification" and fed.kind == "text":
        name = "label_text"
    elif read == "picture":
        name = "generate" if fed.kind == "noise" else "style" if isinstance(fed, ImageInput) else "plain"
    build: Callable[[Subject, Path], None] = import_module(f"demos.pages.{name}").build
    return build
