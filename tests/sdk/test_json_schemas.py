"""Every kind's JSON Schema against what the kind really takes and gives."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtimes import Dim, InputError, TensorInfo
from sdk.inputs.arrays import ArraysInput
from sdk.inputs.noise import NoiseInput
from sdk.kinds import INPUT_KINDS, OUTPUT_KINDS, InputKind, OutputKind
from sdk.outputs.arrays import ArraysOutput
from sdk.outputs.boxes import BoxOutput, FinalBoxesOutput
from sdk.outputs.classification import ClassificationOutput
from sdk.outputs.embedding import EmbeddingOutput
from sdk.outputs.forecast import ForecastOutput
from sdk.outputs.generated_text import GeneratedTextOutput
from sdk.outputs.picture import PictureOutput
from sdk.outputs.segmentation import SegmentationOutput
from sdk.results import Alternative, Attention, Classification, Embedding, Forecast, GeneratedText
from sdk.results.arrays import Arrays
from sdk.results.generated_image import GeneratedImage
from sdk.results.segmentation import Segmentation
from tests.hourly_series import series_input
from tests.sdk.conftest import image_input
from tests.sdk.test_decoded_text import KIND as DECODED
from tests.sdk.test_detections import detections, nothing
from tests.texts import text_input

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")

ANIMALS = ("cat", "dog")
MASK = np.array([[0, 1, 1], [1, 1, 0]], np.uint8)
ATTENTION = Attention(np.full((2, 2), 0.5, np.float32), ("a", "b"), ("x", "y"))
TIMES = np.array(["2025-01-01T00", "2025-01-01T01"], "datetime64[s]")
QUANTILES = np.zeros((2, 3), np.float32)
LEVELS = (0.1, 0.5, 0.9)
SCORES = np.array([0.25, 0.75], np.float32)
WRITTEN = GeneratedText("ab", "xy", 3, -0.5, "end")
RESULTS: dict[str, tuple[OutputKind, list[Any]]] = {
    "arrays": (
        ArraysOutput(("a", "b"), batched=True),
        [Arrays({"a": np.zeros((2, 3), np.float32), "b": np.array(5)}, None)],
    ),
    "final_boxes": (FinalBoxesOutput(ANIMALS, 0.5, 0.1), [detections(), nothing()]),
    "classification": (
        ClassificationOutput(ANIMALS, "softmax", 2, 1.0),
        [Classification.ranked_later(ANIMALS, top, SCORES, None) for top in (1, 2)],
    ),
    "decoded_text": (
        DECODED,
        [GeneratedText("a", "b", 2, -1.0, "length", (Alternative("c", -2.0),), ATTENTION)],
    ),
    "embedding": (EmbeddingOutput(2), [Embedding(SCORES, None)]),
    "forecast": (
        ForecastOutput("load", "MW", LEVELS, (1.0, 1.0, 1.0), (), 0),
        [
            Forecast("load", "MW", TIMES, LEVELS, QUANTILES, None, variables, None)
            for variables in (None, {"load": 1.0})
        ],
    ),
    "generated_text": (GeneratedTextOutput(17, 32, (0,), (1,), 5), [WRITTEN]),
    "picture": (PictureOutput("rgb"), [GeneratedImage(np.zeros((4, 6, 3), np.uint8), None)]),
    "segmentation": (
        SegmentationOutput(ANIMALS, "softmax"),
        [Segmentation.of(MASK, ANIMALS, Image.new("RGB", (3, 2)))],
    ),
}
BOXES = {"box_rows", "candidate_boxes", "yolo_grid"}
FILE = {"base64": "aGk="}
ITEMS: dict[str, tuple[InputKind, list[Any], list[Any]]] = {
    "arrays": (
        ArraysInput((TensorInfo("x", "float32", (Dim(1, 4), 2)),), batched=True),
        [{"x": [[0.5, 1]]}, [[1, 2], [3, 4]], FILE],
        [{"x": [[1]]}, {"y": [[1, 2]]}, "x", {"x": []}, {"x": [["a", 1]]}],
    ),
    "image": (image_input(), [FILE], ["shirt.png", {"base64": 5}, {"path": "shirt.png"}, None]),
    "noise": (NoiseInput(3), [7, [0.5, 1, 2]], [-1, "7", [1, 2], True]),
    "series": (
        series_input(),
        [{"csv": "time,load\n"}, {"columns": {"time": ["2024-01-01"], "load": [1.5]}}],
        ["load.csv", {"csv": 5}, {"columns": [1]}, {}],
    ),
    "text": (text_input(), ["a text", ""], [5, None, {"text": "x"}]),
}
"""A kind, JSON that it takes, and JSON that it does not."""
AS_PARENTS = {"free_image": "image", "dicom": "image", "prompt": "text"}


def _class(table: dict[str, str], name: str) -> Any:
    module, _, attribute = table[name].partition(":")
    return getattr(import_module(module), attribute)


def test_every_kind_is_checked_here() -> None:
    assert set(RESULTS) | BOXES == set(OUTPUT_KINDS)
    assert set(ITEMS) | set(AS_PARENTS) == set(INPUT_KINDS)
    for name in BOXES:
        assert _class(OUTPUT_KINDS, name).json_schema is BoxOutput.json_schema
    for name, parent in AS_PARENTS.items():
        assert _class(INPUT_KINDS, name).json_schema is _class(INPUT_KINDS, parent).json_schema
        assert _class(INPUT_KINDS, name).from_json_item is _class(INPUT_KINDS, parent).from_json_item


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_as_their_schema_says(name: str) -> None:
    kind, results = RESULTS[name]
    schema = kind.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for result in results:
        told = json.loads(json.dumps(result.to_dict()))
        jsonschema.validate(told, schema)
        for field in told:  # nothing may be missing, and nothing be there that is not said
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({key: told[key] for key in told if key != field}, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**told, "more": 1}, schema)


@pytest.mark.parametrize("name", ITEMS)
def test_schema_of_items_is_what_is_taken(name: str) -> None:
    kind, taken, refused = ITEMS[name]
    schema = kind.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for value in taken:
        jsonschema.validate(value, schema)
        kind.from_json_item(value)
    for value in refused:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(value, schema)
        with pytest.raises(InputError):
            kind.load(kind.from_json_item(value))
