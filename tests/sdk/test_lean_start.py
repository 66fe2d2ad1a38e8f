"""What a first prediction must not import: it costs milliseconds and is not needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

NOT_NEEDED = (
    "PIL.GifImagePlugin", "PIL.ImageDraw", "PIL.ImageFont", "PIL.ImageOps", "PIL.PngImagePlugin", "argparse",
    "base64", "numpy.typing", "runtimes.executorch_runtime", "runtimes.layer_times",
    "runtimes.tensorrt_runtime",
    "sdk.artifact.engine_file", "sdk.artifact.evidence", "sdk.artifact.pte_file",
    "sdk.artifact.safetensors_file", "sdk.atomic_write",
    "sdk.bench", "sdk.command", "sdk.results.classification_picture", "sdk.stream", "secrets",
    "torch",
)  # fmt: skip
_CODE = """
import json, sys
from sdk import Predictor
label = Predictor(sys.argv[1]).predict(sys.argv[2]).label
print(json.dumps([label, sorted(sys.modules)]))
"""


def test_first_prediction_imports_nothing_that_it_does_not_need(light_artifact: Path, tmp_path: Path) -> None:
    picture = tmp_path / "bright.jpg"
    Image.new("RGB", (40, 30), (250, 250, 250)).save(picture)
    words = [sys.executable, "-c", _CODE, str(light_artifact), str(picture)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    label, modules = json.loads(done.stdout)
    assert label == "bright"
    assert not set(NOT_NEEDED) & set(modules)
