"""Every page of `edgewright demo`, in a browser: an example is clicked, the answer is read from the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.demos.demo_browser import Visitor, chromium, running_demo
from tests.demos.page_subjects import write_page_subjects

pytest.importorskip("gradio", reason="no package gradio: the extra `demo`")

TIMED = r"\d ms for this one call, on onnxruntime"


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """One demo of all subjects, and one browser that has it open."""
    folder = tmp_path_factory.mktemp("demo")
    with chromium() as browser:
        files = write_page_subjects(tmp_path_factory.mktemp("subjects"))
        with running_demo(files, folder) as address:
            yield Visitor(browser, address)


def test_classifier_ranks_labels_and_explains_the_answer(visitor: Visitor) -> None:
    visitor.open_tab("light")
    visitor.click_example(0)
    assert visitor.answer("h2[data-testid='label-output-value']", "bright")
    visitor.said(TIMED)
    before = visitor.picture("What speaks for it")
    assert before[0] > before[1]  # the picture, and beside it the picture under its heat
    visitor.click_example(1)
    assert visitor.answer("h2[data-testid='label-output-value']", "dark")


def test_card_tells_contract_and_proof(visitor: Visitor) -> None:
    visitor.open_tab("light")
    card = visitor.answer(".ew-card", "proved")
    for words in ("28×28 px grey", "one of bright, dark", "3 golden samples replayed here", "light.onnx"):
        assert words in card


def test_unreadable_picture_is_answered_in_one_line(visitor: Visitor, tmp_path: Path) -> None:
    visitor.open_tab("light")
    (tmp_path / "broken.png").write_bytes(b"no picture at all")
    visitor.upload(tmp_path / "broken.png")
    assert "broken.png': got 17 bytes that are no image" in visitor.said("that are no image")
    visitor.page.locator(".toast-close").first.click()
    visitor.click_example(0)  # and the page goes on answering
    visitor.answer("h2[data-testid='label-output-value']", "bright")


def test_detector_draws_boxes_from_a_score_on(visitor: Visitor) -> None:
    visitor.open_tab("lamps")
    visitor.click_example(0)
    assert "98.0%" in visitor.answer(".ew-table", "lamp")
    visitor.picture("Boxes")
    visitor.fill_number(0, "0.99")
    visitor.said("nothing found")
    visitor.fill_number(0, "0.1")
    visitor.said("lamp 98.0%")


def test_detector_watches_films(visitor: Visitor, tmp_path: Path) -> None:
    film = _film(tmp_path / "film.mp4", frames=6)
    visitor.open_tab("lamps")
    visitor.page.locator("[role=tab]:visible", has_text="Film").click()
    visitor.upload(film)
    visitor.page.locator("video:visible").first.wait_for()
    visitor.page.get_by_role("button", name="Annotate every frame").locator("visible=true").click()
    assert visitor.said("all of it, drawing and all").startswith("6 frames")
    assert visitor.page.locator("video:visible").count() == 2
    visitor.page.locator("[role=tab]:visible", has_text="Picture").click()


@pytest.mark.slow  # the browser's pretended camera takes seconds to start and to stop
def test_detector_watches_the_webcam(visitor: Visitor) -> None:
    with visitor.on_another_page() as other:
        other.open_tab("lamps")
        other.page.locator("[role=tab]:visible", has_text="Webcam").click()
        other.page.locator("button:visible", has_text="Click to Access Webcam").click()
        other.page.locator(".button-wrap button:visible").first.click()
        other.said(TIMED)
        other.picture("Live")
        other.page.locator(".button-wrap button:visible", has_text="Stop").click()


def test_segmentation_tells_the_share_of_each_class(visitor: Visitor) -> None:
    visitor.open_tab("days")
    visitor.click_example(0)
    shares = visitor.answer(".block", r"night[\s\S]*50%")
    assert "day" in shares
    visitor.said(TIMED)


def test_text_is_labelled_while_it_is_typed(visitor: Visitor) -> None:
    visitor.open_tab("reviews")
    box = visitor.page.locator("textarea:visible").first
    box.press_sequentially("a bad film", delay=1)
    visitor.answer("h2[data-testid='label-output-value']", "negative")
    visitor.click_example(0)
    visitor.answer("h2[data-testid='label-output-value']", "positive")
    assert visitor.said(TIMED).startswith("4 tokens")


def test_forecast_is_drawn_and_listed(visitor: Visitor) -> None:
    visitor.open_tab("hours")
    visitor.click_example(0)
    rows = visitor.answer(".ew-table", "2024-01-03T17:00:00").splitlines()
    assert len(rows) == 1 + 6
    visitor.picture("Forecast")
    visitor.page.locator("textarea:visible").first.fill("time,load\n2024-01-01T00:00:00,1\n")
    assert "expected at least 48" in visitor.said("which the model looks back on")
    visitor.page.locator(".toast-close").first.click()


def test_painter_minds_strength_and_size(visitor: Visitor) -> None:
    visitor.open_tab("negative")
    visitor.click_example(0)
    visitor.said("256×171 px, RGB")  # the longer side is what the slider says, at most what the model takes
    assert visitor.picture("Painted") == (256, 171)
    visitor.fill_number(1, "104")
    visitor.said("104×69 px, RGB")
    assert visitor.picture("Painted") == (104, 69)
    painted = visitor.source("Painted")
    visitor.fill_number(0, "0")
    visitor.another_picture("Painted", painted)


def test_generator_makes_as_many_as_it_is_asked_for(visitor: Visitor) -> None:
    visitor.open_tab("snow")
    visitor.click_example(0)
    visitor.said("16 pictures of 8×8 px, grey")
    visitor.fill_number(1, "4")
    visitor.said("4 pictures of 8×8 px, grey")
    wide, high = visitor.picture("Pictures")
    assert wide == high


def test_writer_streams_its_text(visitor: Visitor) -> None:
    visitor.open_tab("words")
    visitor.click_example(0, "good")
    visitor.page.get_by_role("button", name="Write").click()
    assert visitor.answer(".ew-text", "the$").split() == ["good", "bad", "film", "a", "the"]
    assert "ended by end" in visitor.said("tokens/s on onnxruntime")


def test_decoder_shows_what_it_looked_at(visitor: Visitor) -> None:
    visitor.open_tab("letters")
    visitor.click_example(0)
    assert visitor.answer(".ew-said", "a-b-c") == "a-b-c"
    visitor.picture("Where it looked while it wrote")
    visitor.fill_number(0, "3")
    assert len(visitor.answer(".ew-table", "a-b-c").splitlines()) > 2


def test_embedding_tells_how_alike_two_pictures_are(visitor: Visitor) -> None:
    visitor.open_tab("light-embedding")
    visitor.click_example(0)
    visitor.said("Choose another picture")
    visitor.click_example(2)  # the first of the other picture's examples: the same
    assert visitor.answer(".ew-big", "1.000") == "+1.000"
    visitor.click_example(3)
    assert visitor.answer(".ew-big", "-1.000") == "-1.000"


def test_arrays_of_a_foreign_file_are_shown(visitor: Visitor) -> None:
    visitor.open_tab("foreign")
    assert "imported, not measured" in visitor.answer(".ew-card", "foreign.onnx")
    visitor.click_example(0)
    assert "float32" in visitor.answer(".ew-table", "doubled")


def test_comparison_holds_artifacts_side_by_side(visitor: Visitor) -> None:
    visitor.open_tab("Compare light")
    visitor.click_example(0)
    table = visitor.answer(".ew-table", "same label")
    assert "the reference" in table and "light.onnx" in table and "twin.onnx" in table
    assert "scores within 0" in table
    visitor.said("median of 9 whole calls")


def test_page_asks_nobody_else_and_has_no_errors(visitor: Visitor) -> None:
    visitor.open_tab("light")
    visitor.click_example(2)
    visitor.said(TIMED)
    assert visitor.elsewhere == []
    assert visitor.complaints == []


def _film(path: Path, frames: int) -> Path:
    av = pytest.importorskip("av", reason="no package av: the extra `video`")
    import numpy as np

    with av.open(str(path), "w") as container:
        track: Any = container.add_stream("mpeg4", rate=10)
        track.width = track.height = 64
        for number in range(frames):
            picture = np.full((64, 64, 3), 200 + number, np.uint8)
            for packet in track.encode(av.VideoFrame.from_ndarray(picture)):
                container.mux(packet)
        for packet in track.encode():
            container.mux(packet)
    return path
