"""`edgewright predict` on videos and live sources."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sdk.command import main
from tests.sdk.stream.cameras import ts_camera
from tests.sdk.stream.numbered import read_times_s, write_video
from tests.sdk.test_commands import refused

FRAMES = 200
SMALLEST_PIPE_BYTES = 4096


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", [0, 1, 2**14 - 1], options={"preset": "ultrafast", "g": "1"})


def test_predict_prints_a_line_per_frame(
    light_artifact: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(light_artifact), str(clip)]) == 0

    streams = capsys.readouterr()
    assert [line.split("%")[0] for line in streams.out.splitlines()] == [
        f"{clip} 0 0.000 s: dark 100.0",
        f"{clip} 1 0.040 s: dark 100.0",
        f"{clip} 2 0.080 s: bright 100.0",
    ]
    assert streams.err == ""


def test_predict_json_of_a_video_is_stable(
    light_artifact: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(light_artifact), str(clip), str(clip), "--json"]) == 0

    printed = capsys.readouterr().out
    answers = json.loads(printed)
    assert printed == json.dumps(answers, indent=2) + "\n"
    assert [(answer["frame"], answer["time_s"]) for answer in answers] == [(0, 0), (1, 0.04), (2, 0.08)] * 2
    assert list(answers[0]) == ["input", "frame", "time_s", "label", "score", "index", "top"]


def test_predict_writes_an_annotated_video(
    light_artifact: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "annotated.mp4"

    assert main(["predict", str(light_artifact), str(film), "--out", str(target)]) == 0

    streams = capsys.readouterr()
    (line,) = streams.out.splitlines()
    assert line.startswith(f"{film}: {FRAMES} frames in ")
    assert f"written to {target}" in line
    assert streams.err == ""
    assert read_times_s(target) == pytest.approx([n / 25 for n in range(FRAMES)], abs=1e-4)


def test_predict_writes_videos_into_a_folder(light_artifact: Path, clip: Path, tmp_path: Path) -> None:
    other = write_video(tmp_path / "other.mkv", range(3))

    assert main(["predict", str(light_artifact), str(clip), str(other), "--out", str(tmp_path / "out")]) == 0

    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["clip_labelled.mp4", "other_labelled.mp4"]


def test_predict_refuses_bad_video_in_one_line(
    light_artifact: Path, clip: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, picture = tmp_path / "damaged.mp4", tmp_path / "a.png"
    damaged.write_bytes(film.read_bytes()[:-2000])
    target = tmp_path / "out.mp4"

    def line(*words: object) -> str:
        return refused(capsys, "predict", light_artifact, *words)

    assert "'damaged.mp4': got damaged data" in line(damaged, "--out", target)
    assert not target.exists()
    assert "'gone.mp4': got No such file" in line(tmp_path / "gone.mp4")
    assert "Camera 98: got no /dev/video98" in line("camera:98")
    assert "got videos and pictures" in line(clip, picture)
    assert "one file for 2 inputs" in line(clip, film, "--out", target)
    assert "got the suffix '.avi'" in line(clip, "--out", tmp_path / "out.avi")
    assert "'clip.mp4': got a file that is there already" in line(film, "--out", clip)
    assert "Option 'timeout_s': got -1.0" in line(clip, "--timeout", "-1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "damaged.mp4"]


def test_predict_skips_damage_when_told(
    light_artifact: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged.mp4"
    data = bytearray(film.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 500] = bytes(500)
    damaged.write_bytes(data)

    assert main(["predict", str(light_artifact), str(damaged), "--skip-damaged"]) == 0

    assert "damaged left out" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
def test_interrupted_live_source_ends_well(light_artifact: Path, tmp_path: Path, number: int) -> None:
    recording = write_video(
        tmp_path / "live.ts", range(300), options={"preset": "ultrafast", "tune": "zerolatency"}
    )
    target = tmp_path / "live.mp4"
    with ts_camera(recording) as (address, _):
        command = [sys.executable, "-m", "sdk.command", "predict", str(light_artifact), address]
        with subprocess.Popen(
            [*command, "--json", "--out", str(target)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            head = ""
            while '"frame": 1' not in head:
                head += process.stdout.readline()
            process.send_signal(number)
            answers = json.loads(head + process.stdout.read())
            said = process.stderr.read()

    assert process.returncode == 0, said
    assert len(read_times_s(target)) == len(answers) >= 2
    assert said.startswith(f"{address}: {len(answers)} frames")
    assert said.count("\n") == 1


def test_interrupted_file_leaves_nothing(light_artifact: Path, film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    # Where the tests run in the background of a shell, Ctrl-C is ignored, and children inherit that.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "sdk.command"]
    command += ["predict", str(light_artifact), str(film), "--json"]
    with subprocess.Popen(
        [*command, "--out", str(folder / "out.mp4")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        # So small a pipe is soon full, and holds the process in the middle of the file however late we read.
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE_BYTES)
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        said = process.stderr.read()

    assert (process.returncode, said) == (130, "edgewright: interrupted.\n")
    assert list(folder.iterdir()) == []


_LEFT_OPEN = """
import sys
from sdk import Predictor
stream = Predictor(sys.argv[1], threads=1).stream(sys.argv[2])
print(next(stream).index)
"""


@pytest.mark.parametrize("source", ["file", "live"])
def test_process_ends_while_a_stream_is_open(
    light_artifact: Path, film: Path, tmp_path: Path, source: str
) -> None:
    recording = write_video(
        tmp_path / "live.ts", range(300), options={"preset": "ultrafast", "tune": "zerolatency"}
    )
    with ts_camera(recording) as (address, _):
        words = [str(light_artifact), str(film) if source == "file" else address]
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", _LEFT_OPEN, *words],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    assert (done.returncode, done.stderr) == (0, "")
