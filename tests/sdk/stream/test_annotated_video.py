"""Videos with results drawn on them: times, sizes, what is drawn, and never half a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from runtimes import InputError, UsageError
from sdk import Predictor
from sdk.results import Classification, Detections, RankedLabel, Segmentation
from sdk.stream import AnnotatedVideo, Frame
from sdk.stream.overlay import draw_on_frame
from tests.sdk.stream.numbered import SIZE_WH, read_times_s, write_video

TICK_S = 1 / 90_000
MILLISECOND_S = 1e-3
GREY = (90, 90, 90)


def classified(image: Image.Image) -> Classification:
    top = (RankedLabel("cat", 0.75, 0), RankedLabel("dog", 0.25, 1))
    return Classification("cat", 0.75, 0, top, np.array([0.75, 0.25], np.float32), image)


def frame(index: int, time_s: float | None, size_wh: tuple[int, int] = (64, 48)) -> Frame:
    image = Image.new("RGB", size_wh, GREY)
    return Frame(index, time_s, image, classified(image))


@pytest.mark.parametrize(
    ("name", "step_s"), [("out.mp4", TICK_S), ("out.mov", TICK_S), ("out.mkv", MILLISECOND_S)]
)
def test_video_keeps_uneven_times(tmp_path: Path, name: str, step_s: float) -> None:
    times_s = [0.0, 0.01, 0.05, 0.4, 1.0, 1.0 + 1001 / 30000, 5.0]

    with AnnotatedVideo(tmp_path / name) as video:
        for index, time_s in enumerate(times_s):
            video.write(frame(index, time_s))

    assert read_times_s(tmp_path / name) == pytest.approx(times_s, abs=step_s)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_video_of_a_stream_keeps_frames_and_times(predictor: Predictor, tmp_path: Path) -> None:
    path = write_video(tmp_path / "in.mkv", range(80), times_ms=[n * 40 + n % 3 for n in range(80)])

    with predictor.stream(path) as stream, AnnotatedVideo(tmp_path / "out.mp4", stream.rate) as video:
        for one in stream:
            video.write(one)

    assert read_times_s(tmp_path / "out.mp4") == pytest.approx(read_times_s(path), abs=TICK_S)
    assert video.encoder in ("libx264", "libopenh264", "mpeg4")


def test_video_in_webm(tmp_path: Path) -> None:
    with AnnotatedVideo(tmp_path / "out.webm") as video:
        for index in range(3):
            video.write(frame(index, index / 25))

    assert video.encoder == "libvpx-vp9"
    assert read_times_s(tmp_path / "out.webm") == pytest.approx([0, 0.04, 0.08], abs=MILLISECOND_S)


def test_video_moves_times_forward_that_go_back(tmp_path: Path) -> None:
    with AnnotatedVideo(tmp_path / "out.mp4") as video:
        for index, time_s in enumerate((0.0, 1.0, 0.5, 2.0)):
            video.write(frame(index, time_s))

    assert read_times_s(tmp_path / "out.mp4") == pytest.approx([0, 1, 1 + TICK_S, 2], abs=TICK_S / 2)


def test_video_of_odd_size_grows_by_a_pixel(tmp_path: Path) -> None:
    with AnnotatedVideo(tmp_path / "out.mp4") as video:
        video.write(frame(0, 0.0, (51, 33)))

    with av.open(str(tmp_path / "out.mp4")) as written:
        assert (written.streams.video[0].width, written.streams.video[0].height) == (52, 34)


BAD = {
    "size": (frame(1, 0.04, (32, 48)), r"got a frame of 32×48 px, expected 64×48 px like those before"),
    "time": (frame(1, None), "got a frame without a time"),
}


def write(path: Path, frames: Iterable[Frame]) -> None:
    with AnnotatedVideo(path) as video:
        for one in frames:
            video.write(one)


@pytest.mark.parametrize("name", BAD)
def test_video_refuses_frames_that_do_not_fit_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    bad, message = BAD[name]
    with pytest.raises(InputError, match=message):
        write(tmp_path / "out.mp4", [frame(0, 0.0), bad])

    assert list(tmp_path.iterdir()) == []


def test_video_tells_the_writer_while_it_still_writes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without a time"):
        write(tmp_path / "out.mp4", repeat(frame(0, None)))


def test_video_of_a_block_that_fails_is_not_written(tmp_path: Path) -> None:
    def failing() -> Iterator[Frame]:
        yield frame(0, 0.0)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write(tmp_path / "out.mp4", failing())

    assert list(tmp_path.iterdir()) == []


def test_video_without_frames_is_not_written(tmp_path: Path) -> None:
    with AnnotatedVideo(tmp_path / "out.mp4"):
        pass

    assert list(tmp_path.iterdir()) == []


def test_video_refuses_names(tmp_path: Path) -> None:
    (tmp_path / "there.mp4").touch()
    with pytest.raises(UsageError, match=r"'there\.mp4': got a file that is there already"):
        AnnotatedVideo(tmp_path / "there.mp4")
    with pytest.raises(UsageError, match=r"got the suffix '\.avi', expected one of \.m4v, \.mkv"):
        AnnotatedVideo(tmp_path / "out.avi")
    with pytest.raises(UsageError, match=r"'out\.mp4': got No such file or directory"):
        write(tmp_path / "gone" / "out.mp4", [])


def test_overlay_writes_the_summary_on_the_lower_edge() -> None:
    image = Image.new("RGB", (320, 240), GREY)

    drawn = np.asarray(draw_on_frame(classified(image)))

    assert drawn.shape == (240, 320, 3)
    assert (drawn[:200] == GREY).all()
    assert drawn[210:].max() > 200
    assert image.getextrema() == tuple((level, level) for level in GREY)


def test_overlay_draws_boxes_at_the_frame_s_size() -> None:
    image = Image.new("RGB", (320, 240), GREY)
    boxes = np.array([[40, 60, 200, 180]], np.float32)
    found = Detections(boxes, np.array([0.9], np.float32), np.array([0]), ("cat",), image)

    drawn = np.asarray(draw_on_frame(found))

    assert drawn.shape == (240, 320, 3)
    changed = (drawn != GREY).any(axis=2)
    assert changed[120, 39:42].any()
    assert changed[120, 199:202].any()
    assert not changed[100:140, 60:180].any()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_overlay_colours_what_a_mask_covers(mode: str) -> None:
    image = Image.new(mode, (320, 240), GREY if mode == "RGB" else GREY[0])
    mask = np.zeros((240, 320), np.uint8)
    mask[50:100, 50:100] = 1

    drawn = np.asarray(draw_on_frame(Segmentation.of(mask, ("ground", "cat"), image)))

    assert drawn.shape == (240, 320, 3)
    assert (drawn[60:90, 60:90] != GREY).any(axis=2).all()
    assert (drawn[120:200] == GREY).all()


def test_numbered_pictures_can_be_told_apart() -> None:
    """What every other test here stands on."""
    from tests.sdk.stream.numbered import number_in, picture

    for number in (0, 1, 4711, 2**14 - 1):
        image = Image.fromarray(picture(number))
        assert image.size == SIZE_WH
        assert number_in(image) == number
