"""Typed results: frozen dataclasses with `.to_dict()`, `.summary()` and `.plot()`. One file per kind."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdk.results.arrays import Arrays as Arrays
    from sdk.results.classification import Classification as Classification
    from sdk.results.classification import RankedLabel as RankedLabel
    from sdk.results.detections import Detection as Detection
    from sdk.results.detections import Detections as Detections
    from sdk.results.embedding import Embedding as Embedding
    from sdk.results.explanation import Explanation as Explanation
    from sdk.results.forecast import Forecast as Forecast
    from sdk.results.generated_image import GeneratedImage as GeneratedImage
    from sdk.results.generated_text import Alternative as Alternative
    from sdk.results.generated_text import Attention as Attention
    from sdk.results.generated_text import GeneratedText as GeneratedText
    from sdk.results.segmentation import ClassShare as ClassShare
    from sdk.results.segmentation import Segmentation as Segmentation
    from sdk.results.text_score import TextScore as TextScore

__all__ = [
    "Alternative",
    "Arrays",
    "Attention",
    "ClassShare",
    "Classification",
    "Detection",
    "Detections",
    "Embedding",
    "Explanation",
    "Forecast",
    "GeneratedImage",
    "GeneratedText",
    "RankedLabel",
    "Segmentation",
    "TextScore",
]

_MODULES = {
    "Alternative": "generated_text",
    "Arrays": "arrays",
    "Attention": "generated_text",
    "ClassShare": "segmentation",
    "Classification": "classification",
    "Detection": "detections",
    "Detections": "detections",
    "Embedding": "embedding",
    "Explanation": "explanation",
    "Forecast": "forecast",
    "GeneratedImage": "generated_image",
    "GeneratedText": "generated_text",
    "RankedLabel": "classification",
    "Segmentation": "segmentation",
    "TextScore": "text_score",
}


def __getattr__(name: str) -> Any:
    """Import a result's module when it is first asked for: an artifact gives results of one kind."""
    if name not in _MODULES:
        raise AttributeError(f"module 'sdk.results' has no attribute {name!r}")
    return getattr(import_module(f"sdk.results.{_MODULES[name]}"), name)
