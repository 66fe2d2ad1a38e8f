"""Live sources: the newest frame wins, and a source that goes away or falls silent ends cleanly."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import pytest

from runtimes import InputError
from sdk import Predictor
from sdk.stream import video_source
from tests.sdk.stream.cameras import JpegCamera, RtspCamera, ts_camera
from tests.sdk.stream.conftest import PATIENCE_S, eventually
from tests.sdk.stream.numbered import number_in, write_video

LIVE = {"preset": "ultrafast", "tune": "zerolatency", "g": "25"}
UNDELIVERED = 1
"""Frames that a reader cannot give yet: a picture's end is seen when the next one begins."""


@pytest.fixture
def camera() -> Iterator[JpegCamera]:
    opened = JpegCamera()
    yield opened
    opened.close()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_video(tmp_path / "live.ts", range(300), options=LIVE)


def test_slow_consumer_stays_within_one_frame_of_the_latest(predictor: Predictor, camera: JpegCamera) -> None:
    shown = -1

    def show_until(number: int) -> None:
        nonlocal shown
        while shown < number:
            shown += 1
            camera.show(shown)

    starter = threading.Thread(target=show_until, args=(5,))
    starter.start()
    with predictor.stream(camera.address) as stream:
        starter.join()
        assert stream.live
        for last in range(20, 200, 20):  # twenty frames while one was worked on
            show_until(last)
            assert eventually(lambda last=last: stream.latest >= last - UNDELIVERED)
            frame = next(stream)
            assert number_in(frame.image) == frame.index
            assert shown - frame.index <= UNDELIVERED
        assert stream.dropped > 100
        # Nothing is given twice: the next one is newer.
        show_until(200)
        assert next(stream).index > frame.index


def test_fast_consumer_of_a_live_source_waits_for_new_frames(predictor: Predictor, recording: Path) -> None:
    with ts_camera(recording) as (address, _), predictor.stream(address) as stream:
        indices = [next(stream).index for _ in range(30)]

    assert indices == sorted(set(indices))


def test_killed_source_ends_the_stream(predictor: Predictor, recording: Path) -> None:
    with ts_camera(recording) as (address, process), predictor.stream(address) as stream:
        for _ in range(5):
            next(stream)
        process.kill()
        process.wait()
        begun = time.monotonic()
        rest = list(stream)

    assert len(rest) <= 3
    assert stream.ended is not None
    assert time.monotonic() - begun < PATIENCE_S / 2


def test_hung_up_camera_ends_the_stream_and_says_why(predictor: Predictor, camera: JpegCamera) -> None:
    starter = threading.Thread(target=lambda: [camera.show(number) for number in range(8)])
    starter.start()
    with predictor.stream(camera.address) as stream:
        starter.join()
        next(stream)
        camera.close()
        list(stream)

    assert stream.ended is not None
    assert stream.ended.startswith(("lost: ", "end of stream"))


def test_silent_source_ends_after_its_time(predictor: Predictor, camera: JpegCamera) -> None:
    starter = threading.Thread(target=lambda: [camera.show(number) for number in range(8)])
    starter.start()
    with predictor.stream(camera.address, timeout_s=0.5) as stream:
        starter.join()
        assert len(list(stream)) >= 1

    assert stream.ended == "nothing received for 0.5 s"


def test_source_that_never_answers_is_refused_in_time(predictor: Predictor, camera: JpegCamera) -> None:
    with pytest.raises(InputError, match=r"got no answer within 0\.3 s"):
        predictor.stream(camera.address, timeout_s=0.3)


def test_closing_does_not_wait_for_a_silent_source(predictor: Predictor, camera: JpegCamera) -> None:
    starter = threading.Thread(target=lambda: [camera.show(number) for number in range(8)])
    starter.start()
    stream = predictor.stream(camera.address, timeout_s=4.0)
    starter.join()
    next(stream)
    begun = time.monotonic()

    stream.close()

    assert time.monotonic() - begun < 3.0
    assert next(stream, None) is None


def test_rtsp_gives_every_frame_when_told_that_all_count(predictor: Predictor) -> None:
    camera = RtspCamera(100)
    with predictor.stream(camera.address, live=False) as stream:
        found = [(frame.index, number_in(frame.image), frame.time_s) for frame in stream]
    camera.close()

    assert [(index, number) for index, number, _ in found] == [(n, n) for n in range(100)]
    assert [time_s for _, _, time_s in found] == pytest.approx([n / 25 for n in range(100)], abs=1e-4)
    assert camera.requests == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]


def test_rtsp_is_live(predictor: Predictor) -> None:
    camera = RtspCamera(50)
    with predictor.stream(camera.address) as stream:
        frames = list(stream)
    camera.close()

    assert stream.live
    assert frames[-1].index == 49
    assert stream.dropped == 50 - len(frames)


def test_address_of_a_whole_file_is_read_like_a_file(predictor: Predictor, film: Path) -> None:
    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            """Tests look at what is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(film.parent))) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            with predictor.stream(f"http://127.0.0.1:{server.server_port}/{film.name}") as stream:
                numbers = [number_in(frame.image) for frame in stream]
            with pytest.raises(InputError, match=r"/gone\.mp4': got .*404 Not Found"):
                predictor.stream(f"http://127.0.0.1:{server.server_port}/gone.mp4")
        finally:
            server.shutdown()
            serving.join()

    assert not stream.live
    assert numbers == list(range(200))


def test_camera_is_opened_through_video4linux(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No camera is needed: a generator of pictures answers in its place, thirty times a second."""
    asked: list[tuple[str, str | None, dict[str, str]]] = []

    def stand_in(file: str, **how: Any) -> Any:
        asked.append((file, how["format"], how["options"]))
        return genuine("testsrc=size=64x48:rate=30,realtime", format="lavfi")

    genuine = av.open
    (tmp_path / "video3").touch()
    monkeypatch.setattr(video_source, "_DEVICES", tmp_path)
    monkeypatch.setattr(av, "open", stand_in)

    with predictor.stream("camera:3", library={"framerate": "30"}) as stream:
        frames = [next(stream) for _ in range(5)]

    assert asked == [(str(tmp_path / "video3"), "v4l2", {"framerate": "30"})]
    assert stream.live
    assert stream.rate == 30.0
    assert frames[0].image.size == (64, 48)
