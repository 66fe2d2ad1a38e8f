"""Every kind's JSON Schema against what the kind really takes and gives."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtimes import Dim, InputError, TensorInfo
from sdk.inputs.arrays import ArraysInput
from sdk.inputs.noise import NoiseInput
from sdk.kinds import INPUT_KINDS, OUTPUT_KINDS, Kind, OutputKind
from sdk.outputs.arrays import ArraysOutput
from sdk.outputs.boxes import FinalBoxesOutput
from sdk.outputs.classification import ClassificationOutput
from sdk.outputs.embedding import EmbeddingOutput
from sdk.outputs.forecast import ForecastOutput
from sdk.outputs.generated_text import GeneratedTextOutput
from sdk.outputs.picture import PictureOutput
from sdk.outputs.segmentation import SegmentationOutput
from sdk.results import Alternative, Attention, GeneratedText
from sdk.results.arrays import Arrays
from sdk.results.classification import Classification
from sdk.results.detections import Detections
from sdk.results.embedding import Embedding
from sdk.results.forecast import Forecast
from sdk.results.generated_image import GeneratedImage
from sdk.results.segmentation import Segmentation
from tests.sdk.conftest import image_input
from tests.sdk.test_decoded_text import KIND as DECODED
from tests.sdk.test_detections import detections
from tests.texts import text_input

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")

LABELS = ("bag", "boot")
PIXELS = np.zeros((4, 6, 3), np.uint8)
WRITTEN = GeneratedText("ab", "xy", 3, -0.5, "end")
LOOKED = Attention(("a", "b"), ("x", "y"), np.full((2, 2), 0.5, np.float32))


def _forecast(**changes: Any) -> Forecast:
    given: dict[str, Any] = {
        "target": "load",
        "unit": "MW",
        "times": np.array(["2025-01-01T00:00:00", "2025-01-01T01:00:00"], "datetime64[s]"),
        "levels": (0.1, 0.5, 0.9),
        "quantiles": np.zeros((2, 3), np.float32),
        "variables": None,
    }
    return Forecast(**{**given, **changes})
