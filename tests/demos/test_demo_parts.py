"""Parts of the demo's pages that a browser does not reach easily."""

from __future__ import annotations

import json
import urllib.request
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="no package gradio: the extra `demo`")

from demos.pages import picture_field, table
from demos.pages.detect import at_least
from demos.pages.style import mixed, resized
from demos.pages.write import options_of
from sdk.generation.sampling import Sampling
from sdk.kinds import OUTPUT_KINDS
from sdk.results import Detections, GeneratedImage
from tests.demos.demo_browser import START_S, running_demo

FULL, NOTHING = 200, 100


def test_every_page_that_the_table_names_can_be_built() -> None:
    assert set(table._BY_OUTPUT) <= set(OUTPUT_KINDS)
    pages = {*table._BY_OUTPUT.values(), "classify", "label_text", "generate", "style", "plain", "compare"}
    assert all(callable(import_module(f"demos.pages.{name}").build) for name in pages)


def test_no_stub_is_written_beside_the_picture_field() -> None:
    assert not Path(str(picture_field.__file__)).with_suffix(".pyi").exists()


@pytest.mark.parametrize(
    ("least", "labels"), [(0.0, ("a", "b")), (0.5, ("a", "b")), (0.6, ("a",)), (1.0, ())]
)
def test_boxes_are_kept_from_a_score_on(least: float, labels: tuple[str, ...]) -> None:
    boxes = np.zeros((2, 4), np.float32)
    scores = np.array([0.9, 0.5], np.float32)
    found = Detections(boxes, scores, np.array([0, 1]), ("a", "b"), None)
    kept = at_least(found, least)
    assert kept.labels == labels
    assert len(kept.boxes_xyxy) == len(kept.scores) == len(kept.class_ids) == len(labels)


@pytest.mark.parametrize(("share", "level"), [(0.0, NOTHING), (0.5, 150), (1.0, FULL)])
@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_painting_lies_over_the_picture_as_strongly_as_asked(
    share: float, level: int, mode: str, channels: int
) -> None:
    plain = Image.new(mode, (8, 6), (NOTHING,) * channels if channels > 1 else NOTHING)
    painted = GeneratedImage(np.full((6, 8, channels), FULL, np.uint8), plain)
    assert (mixed(painted, share).pixels == level).all()
    assert mixed(painted, share).pixels.shape == (6, 8, channels)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((80, 40), (20, 10)), ((40, 80), (10, 20)), ((20, 10), (20, 10)), ((500, 1), (20, 1))],
)
def test_longer_side_has_as_many_pixels_as_asked(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert resized(Image.new("RGB", size), 20).size == wanted


@pytest.mark.parametrize(
    ("sliders", "sampling"),
    [
        pytest.param((8, 0.0, 40, 0.9, 1), Sampling(0.0, None, None, 1), id="greedy"),
        pytest.param((8, 0.7, 0, 1.0, 2), Sampling(0.7, None, None, 2), id="no limits"),
        pytest.param((8, 0.7, 40, 0.9, 3), Sampling(0.7, 40, 0.9, 3), id="both limits"),
    ],
)
def test_sliders_at_their_ends_mean_no_limit(
    sliders: tuple[float, float, float, float, float], sampling: Sampling
) -> None:
    options = options_of(*sliders)
    assert options.pop("max_tokens") == 8
    assert Sampling(**options) == sampling


def test_only_uploads_are_read(light_artifact: Path, tmp_path: Path) -> None:
    """A forged request names a path in place of an upload: an example's is one, any other is none."""
    secret = tmp_path / "secret.png"
    Image.new("L", (28, 28), 250).save(secret)
    with running_demo([light_artifact], tmp_path, quiet=False) as address:
        uploads = next((tmp_path / "temporary").iterdir())
        shown = uploads / "shown.png"
        shown.write_bytes(secret.read_bytes())
        assert '"label":"bright"' in _asked(address, shown)
        said = _asked(address, secret)
        assert "it was not uploaded by a user" in said and "bright" not in said


def _asked(address: str, path: Path) -> str:
    """What the demo of a classifier says to a request that names a file."""
    handlers = json.loads(_fetched(f"{address}config"))["dependencies"]
    handler = next(each["id"] for each in handlers if len(each["inputs"]) == 3)
    item = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
    asked = {"data": ["light.onnx", item, "the answer"], "fn_index": handler, "session_hash": path.stem}
    _fetched(f"{address}gradio_api/queue/join", json.dumps(asked).encode())
    return _fetched(f"{address}gradio_api/queue/data?session_hash={path.stem}")


def _fetched(url: str, data: bytes | None = None) -> str:
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=START_S) as answer:
        return str(answer.read().decode())
