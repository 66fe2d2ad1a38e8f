"""`edgewright monitor`: exit codes, and what it writes."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from sdk.artifact import read_artifact
from sdk.command import main
from tests.sdk.monitor.watched import REFERENCE_ROWS, darker, entries_of, logged, pictures


@pytest.fixture(scope="module")
def logs(watched_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("logs")
    some = pictures()[REFERENCE_ROWS : REFERENCE_ROWS + 600]
    calm = entries_of(watched_artifact, some)
    dark = entries_of(watched_artifact, darker(some))
    return {
        "calm": logged(folder / "calm.db", calm),
        "drifted": logged(folder / "drifted.db", [*calm[:300], *dark[:300]]),
        "few": logged(folder / "few.db", calm[:50]),
    }


@pytest.fixture
def given(logs: dict[str, Path], watched_artifact: Path, light_artifact: Path) -> dict[str, Path]:
    return {"few": logs["few"], "log": logs["calm"], "artifact": watched_artifact, "bare": light_artifact}


@pytest.mark.parametrize(("log", "code"), [("calm", 0), ("drifted", 1), ("few", 2)])
def test_monitor_drift_says_how_it_stands(
    logs: dict[str, Path], watched_artifact: Path, capsys: pytest.CaptureFixture[str], log: str, code: int
) -> None:
    assert main(["monitor", "drift", str(logs[log]), str(watched_artifact), "--window", "300"]) == code
    said = capsys.readouterr().out
    expected = {0: "no drift in 300 rows", 1: "features drifted in 300 rows", 2: "50 rows, 200 are needed"}
    assert expected[code] in said


def test_monitor_drift_writes_a_page_and_json(
    logs: dict[str, Path], watched_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, told = tmp_path / "drift.html", tmp_path / "drift.json"
    arguments = ["monitor", "drift", str(logs["drifted"]), str(watched_artifact), "--out", str(page)]
    assert main([*arguments, "--window", "600", "--json", str(told)]) == 1
    report = json.loads(told.read_text())
    html = page.read_text()
    assert report["rows"] == 600
    assert "input.contrast" in report["drifted"]
    assert f"{len(report['drifted'])} of {len(report['features'])} features have drifted" in html
    for feature in report["features"]:
        assert f"<code>{feature['name']}</code>" in html
    assert "How it came about" in html
    assert not re.search(r'(src|href)="', html), "the page needs nothing beside itself"
    capsys.readouterr()
    assert main([*arguments, "--json", "-"]) == 1
    assert json.loads(capsys.readouterr().out)["status"] == "drift"


def test_monitor_drift_fires_the_hook_once(
    logs: dict[str, Path], watched_artifact: Path, tmp_path: Path
) -> None:
    program, out = tmp_path / "retrain.py", tmp_path / "fired"
    program.write_text("import sys\nwith open(sys.argv[1], 'a') as file: file.write('fired\\n')")
    hook = shlex.join([sys.executable, str(program), str(out)])
    arguments = ["monitor", "drift", str(logs["drifted"]), str(watched_artifact), "--on-drift", hook]
    for _ in range(3):
        assert main([*arguments, "--window", "300"]) == 1
    assert out.read_text() == "fired\n"


def test_monitor_remember_makes_a_reference_of_the_log(
    logs: dict[str, Path], light_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "watched.onnx"
    assert main(["monitor", "remember", str(logs["calm"]), str(light_artifact), "--out", str(out)]) == 0
    assert "remembers 600 predictions" in capsys.readouterr().out
    reference = read_artifact(out).manifest.reference
    assert reference is not None
    assert (reference.split, reference.rows) == ("logged", 600)
    assert main(["monitor", "drift", str(logs["calm"]), str(out), "--window", "300"]) == 0
    assert main(["monitor", "drift", str(logs["drifted"]), str(out), "--window", "300"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["drift", "gone.db", "{artifact}"], "Log: got no file 'gone.db'"),
        (["drift", "{log}", "gone.onnx"], "gone.onnx"),
        (["drift", "{log}", "{bare}"], "got no reference to measure drift from"),
        (
            ["drift", "{log}", "{artifact}", "--window", "10"],
            "Option --window: got 10, expected at least 200",
        ),
        (["drift", "{log}", "{artifact}", "--psi", "-1"], "Option --psi: got -1.0"),
        (["drift", "{log}", "{artifact}", "--on-drift", "no-such-program"], "Option --on-drift: got"),
        (["remember", "{few}", "{artifact}", "--out", "x.onnx"], "Log: got 50 predictions of 'light.onnx'"),
        (["remember", "gone.db", "{artifact}", "--out", "x.onnx"], "Log: got no file"),
        (["split", "{log}"], "Log: got one version of 'light'"),
        (["split", "{log}", "--model", "x"], "Option --model: got 'x', expected one of light"),
    ],
)
def test_monitor_bad_input_is_one_line(
    given: dict[str, Path], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["monitor", *(word.format(**given) for word in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
