"""Whole comparisons: the real thing once, and what is refused before anything is timed."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from demos.study_models import write_chain
from runtimes import ArtifactError, InputError, UsageError
from sdk.artifact import GoldenSample, StoredArray, read_artifact, write_artifact
from sdk.command import main
from sdk.compare import PASS, REGRESSION, UNDECIDED, Comparison, Contestant, compare, comparison, rounds
from sdk.compare.report import COMMENT_MARK, as_junit, as_markdown, as_text
from tests.light_artifact import write_light_artifact

LONGER = 2
"""How many times as many layers the slow candidate has: plain on any machine."""


def _rewritten(source: Path, path: Path, **changes: object) -> Path:
    artifact = read_artifact(source)
    write_artifact(path, bytes(artifact.payload), replace(artifact.manifest, **changes))
    return path


@pytest.fixture
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real processes, fewer turns."""
    monkeypatch.setattr(rounds, "MOST_BLOCKS", 6)
    monkeypatch.setattr(comparison, "FEWEST_ROUNDS", 4)


@pytest.fixture
def rounds_of(monkeypatch: pytest.MonkeyPatch, launches: Callable[..., list]) -> Callable[..., None]:
    """`rounds_of(baseline_ms, candidate_ms)`: rounds come from known noise instead of processes."""

    def use(*ms: float, **options: float) -> None:
        series = [iter(launches(seed, 100, one, **options)) for seed, one in enumerate(ms)]
        monkeypatch.setattr(comparison, "run_round", lambda *_: [next(one) for one in series])

    return use


@pytest.mark.slow
def test_compare_tells_a_slower_artifact_from_an_equal_one(tmp_path: Path, short_rounds: None) -> None:
    paths = [write_chain(tmp_path / f"{n}.onnx", layers) for n, layers in enumerate((40, 40, LONGER * 40))]
    baseline, same, slower = map(Contestant, paths)

    found = compare(baseline, slower)
    assert (found.verdict, found.exit_code) == (REGRESSION, 1)
    assert found.verdicts[0].ratio.value == pytest.approx(LONGER, rel=0.25)
    assert compare(baseline, same).exit_code == 0


def test_report_names_metric_ratio_and_interval(chain: Path, rounds_of: Callable[..., None]) -> None:
    rounds_of(2.0, 2.4)
    found = compare(Contestant(chain), Contestant(chain))
    ratio = str(found.verdicts[0].ratio)

    assert found.verdict == REGRESSION and "to" in ratio
    for text in (as_text(found), as_markdown(found), as_junit(found)):
        assert "latency" in text and ratio in text and "chain.onnx" in text
    assert as_markdown(found).startswith(COMMENT_MARK)


def test_junit_has_a_case_per_metric(chain: Path, rounds_of: Callable[..., None]) -> None:
    rounds_of(2.0, 2.4)
    suite = ET.fromstring(as_junit(compare(Contestant(chain), Contestant(chain))))

    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert {case.get("name") for case in suite} == {
        "latency",
        "median",
        "tail",
        "cold start",
        "memory",
        "size",
    }
    assert int(suite.get("failures", "")) == len(failed) and "latency" in failed


def test_regression_of_any_metric_is_the_verdict(chain: Path, rounds_of: Callable[..., None]) -> None:
    rounds_of(2.0, 2.0)
    found = compare(Contestant(chain), Contestant(chain))
    worse = replace(found.verdicts[-1], verdict=REGRESSION)

    assert found.verdict == PASS
    assert replace(found, verdicts=(*found.verdicts[:-1], worse)).verdict == REGRESSION


def test_undecided_tail_holds_up_a_strict_comparison_alone(
    chain: Path, rounds_of: Callable[..., None]
) -> None:
    rounds_of(2.0, 2.0)
    found = compare(Contestant(chain), Contestant(chain))
    verdicts = tuple(replace(v, verdict=UNDECIDED) if v.metric == "tail" else v for v in found.verdicts)
    unsure: Comparison = replace(found, verdicts=verdicts)

    assert (unsure.exit_code, unsure.strictly().exit_code) == (0, 2)


@pytest.mark.parametrize(("ms", "code"), [(2.0, 0), (2.4, 1)], ids=["pass", "regression"])
def test_command_exit_code_and_files(
    chain: Path,
    tmp_path: Path,
    rounds_of: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    *,
    ms: float,
    code: int,
) -> None:
    rounds_of(2.0, ms)
    files = {name: tmp_path / name for name in ("comment.md", "latency.xml", "latency.json")}
    words = ["--markdown", str(files["comment.md"]), "--junit", str(files["latency.xml"])]

    assert main(["compare", str(chain), str(chain), *words, "--json", str(files["latency.json"])]) == code

    said = json.loads(files["latency.json"].read_text())
    assert said["exit_code"] == code and said["version"] == 1
    assert said["metrics"][0]["metric"] == "latency"
    assert said["metrics"][0]["ratio"].keys() == {"value", "low", "high", "confidence"}
    assert "latency" in capsys.readouterr().out


def test_command_prints_json_alone(
    chain: Path, rounds_of: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    rounds_of(2.0, 2.0)

    assert main(["compare", str(chain), str(chain), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == PASS


def test_command_that_stays_undecided_exits_with_2(
    chain: Path, rounds_of: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    rounds_of(2.0, 2.0)

    assert main(["compare", str(chain), str(chain), "--max-slowdown", "1.0001", "--budget", "0.001"]) == 2
    assert "Could not decide" in capsys.readouterr().out


def test_other_task_is_refused(chain: Path, tmp_path: Path) -> None:
    spec = replace(read_artifact(chain).spec, task="segmentation")
    other = _rewritten(chain, tmp_path / "other.onnx", spec=spec)

    with pytest.raises(UsageError, match="another task: segmentation instead of product"):
        compare(Contestant(chain), Contestant(other))


def test_other_contract_is_refused_by_field(chain: Path, tmp_path: Path) -> None:
    spec = read_artifact(chain).spec
    other_input = replace(spec.input, filter="bicubic")  # type: ignore[call-arg]
    other = _rewritten(chain, tmp_path / "other.onnx", spec=replace(spec, input=other_input))

    with pytest.raises(UsageError, match="another input contract: filter bicubic instead of bilinear"):
        compare(Contestant(chain), Contestant(other))
    with pytest.raises(UsageError, match="another output contract: labels"):
        compare(Contestant(chain), Contestant(write_light_artifact(tmp_path / "light.onnx")))


def test_candidate_that_fails_its_proof_is_refused(chain: Path, tmp_path: Path) -> None:
    sample = read_artifact(chain).manifest.samples[0]
    wrong = {name: StoredArray.of(1 - stored.array()) for name, stored in sample.outputs.items()}
    other = _rewritten(chain, tmp_path / "other.onnx", samples=(GoldenSample(sample.item_base64, wrong),))

    with pytest.raises(ArtifactError, match=r"Candidate 'other.onnx': got answers .* away from its proof"):
        compare(Contestant(chain), Contestant(other))
    assert main(["compare", str(chain), str(other)]) == 2


def test_nothing_to_predict_on_is_refused(light_artifact: Path) -> None:
    with pytest.raises(InputError, match=r"no golden samples.*--data"):
        compare(Contestant(light_artifact), Contestant(light_artifact))


def test_data_takes_the_place_of_golden_samples(
    light_artifact: Path, tmp_path: Path, rounds_of: Callable[..., None]
) -> None:
    np.save(tmp_path / "picture.npy", np.zeros((28, 28), np.uint8))
    rounds_of(2.0, 2.0)
    contestant = Contestant(light_artifact, (tmp_path / "picture.npy",))

    assert compare(contestant, contestant).exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["one.onnx"], "got 1, expected BASELINE and CANDIDATE"),
        (["one.onnx", "two.onnx", "three.onnx"], "got 3, expected BASELINE and CANDIDATE"),
        (["one.onnx", "two.onnx", "--record", "out.json"], "expected the artifact alone"),
        (["one.onnx", "two.onnx", "--build", "make"], "--build without --baseline-ref"),
        (["one.onnx", "--record", "out.json", "--baseline-ref", "main"], "expected one kind of baseline"),
        (["one.onnx", "two.onnx", "--budget", "0"], "expected seconds above 0"),
        (["one.onnx", "two.onnx"], "Artifact 'one.onnx'"),
    ],
    ids=[
        "one file",
        "three files",
        "record of two",
        "build alone",
        "two baselines",
        "no time",
        "no such file",
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["compare", *words]) == 2

    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
