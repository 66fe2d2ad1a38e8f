"""`edgewright bench`: what it prints and writes, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdk.artifact import write_artifact
from sdk.bench import BenchReport, run
from sdk.command import main
from sdk.machine.clocks import ClockVerdict
from tests.runtimes.tensorrt_stand_in import make_plan
from tests.sdk.bench.test_run import _Watch
from tests.sdk.conftest import make_manifest, make_spec, picture

QUICK = ["--seconds", "0.02", "--max-seconds", "0.05", "--launches", "0", "--quiet"]


def test_bench_prints_tables(golden_artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(golden_artifact), *QUICK]) == 0

    printed = capsys.readouterr()
    assert "Latency of one call" in printed.out
    assert "product.fake" in printed.out
    assert "Phases" in printed.out
    assert printed.err == ""


def test_bench_writes_every_form(
    golden_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {name: tmp_path / f"bench.{name}" for name in ("json", "markdown", "html")}
    words = [part for name, path in files.items() for part in (f"--{name}", str(path))]

    assert main(["bench", str(golden_artifact), *QUICK, *words]) == 0

    report = BenchReport.from_json(files["json"].read_bytes())
    assert report.runs[0].file == "product.fake"
    assert "| product.fake | fake |" in files["markdown"].read_text()
    assert files["html"].read_text().startswith("<!doctype html>")
    assert "Latency of one call" in capsys.readouterr().out


def test_bench_json_on_stdout_is_json_alone(
    golden_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(golden_artifact), *QUICK, "--json", "-"]) == 0

    assert json.loads(capsys.readouterr().out)["format"] == "edgewright-bench"


def test_bench_tells_its_progress_on_stderr(
    golden_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(golden_artifact), *QUICK[:-1]]) == 0

    assert capsys.readouterr().err.split("\n")[:2] == ["warming …", "timing …"]


def test_bench_takes_data(fake_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(picture(1)).save(folder / "one.png")
    np.save(folder / "stack.npy", np.stack([picture(0), picture(2)]))

    assert main(["bench", str(fake_artifact), *QUICK, "--data", str(folder), "--json", "-"]) == 0

    assert json.loads(capsys.readouterr().out)["inputs"] == "3 from pictures"


def test_bench_of_a_void_run_exits_1(
    golden_artifact: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = ClockVerdict(True, "it got hot", 1500.0, 2400.0, 40, 95.0, "cpufreq")
    monkeypatch.setattr(run, "ClockWatch", lambda: _Watch(verdict))

    assert main(["bench", str(golden_artifact), *QUICK]) == 1

    assert "product.fake: void: the clock fell: it got hot" in capsys.readouterr().out


def test_bench_of_nothing_that_runs_here_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_artifact(tmp_path / "product.trt", make_plan(), make_manifest(make_spec()))
    np.save(tmp_path / "item.npy", picture(0))

    assert main(["bench", str(tmp_path / "product.trt"), *QUICK, "--data", str(tmp_path / "item.npy")]) == 1

    assert "product.trt: not run:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scenario", "server"], "Option 'rate'"),
        (["--seconds", "0"], "Option 'seconds'"),
        (["--scenario", "nowhere"], "invalid choice"),
        (["--data", "nowhere/"], "Data 'nowhere'"),
        (["--seconds", "9", "--max-seconds", "1"], "Option 'max_seconds'"),
        (["--html", "nowhere/bench.html"], "Output 'bench.html': got no folder 'nowhere'"),
    ],
    ids=["no rate", "no time", "scenario", "data", "less at most than at least", "no folder"],
)
def test_bench_refuses_bad_usage_in_one_line(
    golden_artifact: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["bench", str(golden_artifact), *words])
    except SystemExit as end:  # argparse's own way
        code = int(end.code or 0)

    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert error.count("\n") == 1


def test_bench_refuses_a_damaged_artifact(golden_artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    golden_artifact.write_bytes(golden_artifact.read_bytes()[:-3])

    assert main(["bench", str(golden_artifact), *QUICK]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_bench_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", "--help"])

    assert end.value.code == 0
    assert "edgewright bench product.onnx --scenario server --rate 200" in capsys.readouterr().out
