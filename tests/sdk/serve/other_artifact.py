"""Another version of the light artifact: the same answers from another program."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from sdk import Predictor
from sdk.artifact import read_artifact, write_artifact
from sdk.golden import make_golden_samples
from tests.light_artifact import write_light_artifact


def write_other_artifact(path: Path, *, wrong_proof: bool = False) -> Path:
    """Write it to `path`, in one step.

    Args:
        path: May be there.
        wrong_proof: Its golden samples have answers that it does not give.
    """
    with tempfile.TemporaryDirectory() as folder:
        artifact = read_artifact(write_light_artifact(Path(folder) / "light.onnx"))
        items = [np.full((28, 28), 255, np.uint8)]
        with Predictor(artifact.path, threads=1) as predictor:

            def outputs_of(encoded: list[bytes]) -> dict[str, np.ndarray]:
                scores = predictor.outputs(encoded)["scores"]
                return {"scores": scores[:, ::-1] if wrong_proof else scores}

            samples = make_golden_samples(predictor.spec, items, outputs_of)
    model = onnx.load_from_string(artifact.payload)
    model.doc_string = "another"
    write_artifact(path, model.SerializeToString(), replace(artifact.manifest, samples=samples))
    return path
