"""Streams of files and folders: every frame, in order, with its time; and a clean end in every case."""

from __future__ import annotations

import gc
import struct
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from runtimes import EngineError, InputError, UsageError
from sdk import Predictor
from tests.sdk.stream.conftest import eventually
from tests.sdk.stream.numbered import SIZE_WH, number_in, picture, write_video

# Times are whole ticks of the container's clock, turned into floats.
TIME_TOLERANCE_S = 1e-6
FRAMES = 200


def is_open(path: Path) -> bool:
    """Whether this process holds the file."""
    return any(
        link.exists() and link.resolve() == path.resolve() for link in list(Path("/proc/self/fd").iterdir())
    )


def test_stream_of_1000_frames_loses_none_and_keeps_their_order(predictor: Predictor, tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.mp4", range(1000))

    with predictor.stream(path) as stream:
        frames = [(frame.index, number_in(frame.image), frame.time_s) for frame in stream]

    assert [index for index, _, _ in frames] == list(range(1000))
    assert [number for _, number, _ in frames] == list(range(1000))
    assert [time_s for _, _, time_s in frames] == pytest.approx(
        [number / 25 for number in range(1000)], abs=TIME_TOLERANCE_S
    )
    assert (stream.dropped, stream.damaged, stream.ended) == (0, 0, "end of stream")


def test_stream_gives_what_predict_gives(predictor: Predictor, tmp_path: Path) -> None:
    path = write_video(tmp_path / "short.mkv", range(0, 9000, 500))

    for frame in predictor.stream(str(path)):
        assert frame.result.source is frame.image
        assert frame.image.size == SIZE_WH
        assert np.array_equal(frame.result.scores, predictor.predict(frame.image).scores)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.ts", "libx264"),
        ("a.mkv", "libx264"),
        ("a.avi", "mpeg4"),
        ("a.webm", "libvpx"),
        ("a.h264", "libx264"),
    ],
    ids=["ts", "mkv", "avi", "webm", "h264"],
)
def test_stream_reads_other_containers(predictor: Predictor, tmp_path: Path, name: str, codec: str) -> None:
    options = {"deadline": "realtime", "b": "1000000"} if codec == "libvpx" else None
    path = write_video(tmp_path / name, range(60), codec=codec, options=options)

    frames = list(predictor.stream(path))

    assert [number_in(frame.image) for frame in frames] == list(range(60))
    # Matroska and WebM round times to milliseconds, which 25 frames a second fall on.
    assert [f.time_s for f in frames] == pytest.approx([n / 25 for n in range(60)], abs=TIME_TOLERANCE_S)


def test_stream_keeps_uneven_times(predictor: Predictor, tmp_path: Path) -> None:
    times_ms = [0, 10, 50, 51, 400, 1000, 1033, 5000]
    path = write_video(tmp_path / "uneven.mkv", range(8), times_ms=times_ms)

    times_s = [frame.time_s for frame in predictor.stream(path)]

    assert times_s == pytest.approx([time / 1000 for time in times_ms], abs=TIME_TOLERANCE_S)


def test_stream_says_what_the_file_says(predictor: Predictor, film: Path) -> None:
    with predictor.stream(film) as stream:
        assert (stream.live, stream.rate, stream.total, stream.ended) == (False, 25.0, FRAMES, None)


def test_stream_decodes_ahead_but_not_further_than_told(predictor: Predictor, film: Path) -> None:
    with predictor.stream(film, ahead=3) as stream:
        next(stream)
        assert eventually(lambda: stream.latest == 3)
        assert not stream._source.ended  # the reader waits
        next(stream)
        assert eventually(lambda: stream.latest == 4)


@pytest.mark.parametrize("way", ["break", "close", "collected", "error"])
def test_stream_lets_go_of_everything_when_it_is_left(predictor: Predictor, film: Path, way: str) -> None:
    stream = predictor.stream(film)
    for frame in stream:
        assert is_open(film)
        if frame.index == 5:
            break
    if way == "error":
        with pytest.raises(RuntimeError), stream:
            raise RuntimeError
    elif way == "close":
        stream.close()
        stream.close()
        assert next(stream, None) is None
    if way in ("break", "collected"):
        del stream, frame
        gc.collect()
    assert eventually(lambda: not is_open(film))


def test_stream_of_a_closed_predictor_says_so_and_closes(light_artifact: Path, film: Path) -> None:
    predictor = Predictor(light_artifact, threads=1)
    stream = predictor.stream(film)
    next(stream)
    predictor.close()

    with pytest.raises(EngineError, match="after close"):
        next(stream)

    assert next(stream, None) is None


def test_streams_side_by_side_do_not_mix(predictor: Predictor, film: Path) -> None:
    found: dict[int, list[int]] = {}

    def read(place: int) -> None:
        found[place] = [number_in(frame.image) for frame in predictor.stream(film)]

    threads = [threading.Thread(target=read, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {0: list(range(FRAMES)), 1: list(range(FRAMES))}


def test_stream_turns_frames_upright(predictor: Predictor, tmp_path: Path) -> None:
    path = write_video(tmp_path / "phone.mp4", [5] * 3)
    data = path.read_bytes()
    # The matrix of the track header (ISO/IEC 14496-12, 8.3.2): as it is, and a quarter turn clockwise.
    upright = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, SIZE_WH[1] << 16, 0, 1 << 30)
    place = data.index(upright, data.index(b"tkhd"))
    path.write_bytes(data[:place] + turned + data[place + len(turned) :])

    frame = next(predictor.stream(path))

    assert frame.image.size == SIZE_WH[::-1]
    assert number_in(frame.image.transpose(Image.Transpose.ROTATE_90)) == 5


def test_stream_of_a_folder_takes_pictures_in_name_order(predictor: Predictor, tmp_path: Path) -> None:
    for number, name in enumerate(("b.png", "a.png", "c.jpg")):
        Image.fromarray(picture(number)).save(tmp_path / name)
    np.save(tmp_path / "d.npy", picture(3))

    frames = list(predictor.stream(tmp_path))

    assert [number_in(frame.image) for frame in frames] == [1, 0, 2, 3]
    assert [(frame.index, frame.time_s) for frame in frames] == [(0, None), (1, None), (2, None), (3, None)]


def test_stream_of_a_folder_stops_at_a_damaged_picture(predictor: Predictor, tmp_path: Path) -> None:
    Image.fromarray(picture(1)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    stream = predictor.stream(tmp_path)
    next(stream)

    with pytest.raises(InputError, match=r"'b\.png'"):
        next(stream)


WRONG = {
    "missing": ("gone.mp4", "Video 'gone.mp4': got No such file or directory"),
    "camera": ("camera:97", "Camera 97: got no /dev/video97, expected a camera"),
    "camera-number": (97, "Camera 97: got no /dev/video97"),
    "nothing": (None, "Stream: got NoneType, expected a path, an address, or a camera's number"),
    "empty-folder": (".", "got no files"),
    "nobody-answers": ("tcp://127.0.0.1:1", r"Stream 'tcp://127\.0\.0\.1:1': got Connection refused"),
}


@pytest.mark.parametrize("name", WRONG)
def test_stream_refuses_what_is_no_source(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    source, message = WRONG[name]
    with pytest.raises(InputError, match=message):
        predictor.stream(source)  # type: ignore[arg-type]


def test_stream_does_not_show_passwords(predictor: Predictor) -> None:
    with pytest.raises(InputError) as caught:
        predictor.stream("http://me:secret@127.0.0.1:1/cam?token=hidden")

    assert "'http://127.0.0.1:1/cam'" in str(caught.value)
    assert not [word for word in ("me:", "secret", "hidden") if word in str(caught.value)]


@pytest.mark.parametrize(("option", "value"), [("ahead", 0), ("timeout_s", 0.0)])
def test_stream_refuses_senseless_options(
    predictor: Predictor, film: Path, option: str, value: float
) -> None:
    with pytest.raises(UsageError, match=option):
        predictor.stream(film, **{option: value})


def _without_picture(path: Path) -> Path:
    with av.open(str(path), "w") as output:
        track = output.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        output.mux(track.encode(sound))
        output.mux(track.encode(None))
    return path


def test_stream_refuses_sound_alone(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'sound\.wav': got no video track"):
        predictor.stream(_without_picture(tmp_path / "sound.wav"))


@pytest.mark.parametrize("data", [b"", b"no video at all " * 50, bytes(5000)], ids=["empty", "text", "zeros"])
def test_stream_refuses_what_is_no_video(predictor: Predictor, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.mp4").write_bytes(data)

    with pytest.raises(InputError, match=r"Video 'bad\.mp4': got Invalid data"):
        predictor.stream(tmp_path / "bad.mp4")


def _damaged(film: Path, target: Path, how: str) -> Path:
    data = bytearray(film.read_bytes())
    if how == "cut off":
        del data[len(data) // 2 :]
    else:
        middle = len(data) // 2
        data[middle : middle + len(data) // 20] = bytes(len(data) // 20)
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("how", ["cut off", "hole"])
def test_stream_names_damage_and_where_it_is(
    predictor: Predictor, film: Path, tmp_path: Path, how: str
) -> None:
    path = _damaged(film, tmp_path / "bad.mp4", how)
    numbers: list[int] = []

    with pytest.raises(InputError) as caught:
        numbers.extend(number_in(frame.image) for frame in predictor.stream(path))

    assert numbers == list(range(len(numbers)))
    assert 0 < len(numbers) < FRAMES
    assert "Video 'bad.mp4': got damaged data" in str(caught.value)
    assert f"after {len(numbers)} frames" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_stream_goes_on_past_damage_when_told(predictor: Predictor, film: Path, tmp_path: Path) -> None:
    path = _damaged(film, tmp_path / "bad.mp4", "hole")

    with predictor.stream(path, skip_damaged=True) as stream:
        indices = [frame.index for frame in stream]

    assert stream.damaged > 0
    assert indices == list(range(len(indices)))


def test_stream_of_a_recording_begins_at_its_first_whole_picture(
    predictor: Predictor, tmp_path: Path
) -> None:
    options = {"preset": "ultrafast", "g": "25", "bf": "0", "sc_threshold": "0"}
    whole = write_video(tmp_path / "whole.ts", range(60), options=options).read_bytes()
    packets = [whole[start : start + 188] for start in range(0, len(whole), 188)]
    # Without the packets of the first frame, whose payload unit starts with the video's identifier, 0x100.
    starts = [i for i, p in enumerate(packets) if p[1] & 0x40 and (p[1] & 0x1F, p[2]) == (1, 0)]
    path = tmp_path / "cut.ts"
    path.write_bytes(b"".join(packets[: starts[0]] + packets[starts[1] :]))

    numbers = [number_in(frame.image) for frame in predictor.stream(path)]

    assert numbers == list(range(25, 60))


def test_stream_without_pyav_names_the_extra(
    predictor: Predictor, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)

    with pytest.raises(InputError, match=r"no package 'av'.*pip install 'edgewright\[video\]'"):
        predictor.stream(film)
