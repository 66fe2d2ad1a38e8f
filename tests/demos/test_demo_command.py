"""`edgewright demo` before the first page: which artifacts are meant, and what is answered in one line."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from demos.pages.address import listening_socket
from demos.pages.agreement import agreement
from demos.pages.found import artifacts_of_task
from demos.pages.subject import open_subjects
from runtimes import Array, EngineMissingError, UsageError
from sdk.artifact import read_artifact, write_artifact
from sdk.artifact.evidence import GoldenSample
from sdk.command import main
from sdk.results import Arrays, Classification, Detections, Embedding, GeneratedText, Segmentation
from tests.light_embedding import write_light_embedding


def test_task_means_the_folder_with_its_newest_artifact(light_artifact: Path, tmp_path: Path) -> None:
    for at, name in enumerate(("old/a.onnx", "new/product_int8.onnx", "new/product.onnx", ".hidden/b.onnx")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(light_artifact.read_bytes())
        os.utime(path, (at, at))
    (tmp_path / "new" / "noise.onnx").write_bytes(b"no artifact")
    write_light_embedding(tmp_path / "new" / "embedding.onnx")
    found = artifacts_of_task("product", tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "new/product.onnx",
        "new/product_int8.onnx",
    ]


def test_task_without_artifacts_names_those_that_are_there(light_artifact: Path) -> None:
    with pytest.raises(UsageError, match=r"Demo 'style': got no artifact .* \(there: product\)"):
        artifacts_of_task("style", light_artifact.parent)


def test_artifacts_of_one_contract_are_one_subject(light_artifact: Path, tmp_path: Path) -> None:
    twin = tmp_path / light_artifact.name
    twin.write_bytes(light_artifact.read_bytes())
    other = write_light_embedding(tmp_path / "colours.onnx")
    with ExitStack() as stack:
        subjects = open_subjects([light_artifact, other, twin], stack, options={})
        assert [subject.name for subject in subjects] == ["light", "light-embedding"]
        folders = (light_artifact.parent.name, tmp_path.name)
        assert subjects[0].labels == [f"{folder}/light.onnx" for folder in folders]


def test_what_cannot_run_here_is_left_out_of_a_task_and_named(
    light_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = tmp_path / "twin.onnx"
    twin.write_bytes(light_artifact.read_bytes())
    from demos.pages import subject as module

    def opened(path: Path, **options: object) -> object:
        if path == twin:
            raise EngineMissingError("GPU", got="none", expected="one", fix="Buy it.")
        return real(path, **options)

    real = module.Predictor
    monkeypatch.setattr(module, "Predictor", opened)
    with ExitStack() as stack:
        (subject,) = open_subjects([light_artifact, twin], stack, lenient=True, options={})
    assert subject.labels == ["light.onnx"]
    assert [(each.label, each.reason) for each in subject.left_out] == [
        ("twin.onnx", "GPU: got none, expected one. Buy it.")
    ]
    with ExitStack() as stack, pytest.raises(EngineMissingError):
        open_subjects([light_artifact, twin], stack, options={})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["gone.onnx"], "Artifact 'gone.onnx': got No such file", id="missing"),
        pytest.param(["cut.onnx"], "'cut.onnx': got", id="cut short"),
        pytest.param(["wrong.onnx"], "away from its proof", id="fails its proof"),
        pytest.param(["light.txt"], "a file ending in '.txt'", id="no artifact"),
        pytest.param(["nothing", "--search", "."], "Demo 'nothing'", id="no such task"),
        pytest.param(["light.onnx", "--port", "70000"], "Address 127.0.0.1:70000", id="no port"),
        pytest.param(["light.onnx", "--host", "192.0.2.1"], "Address 192.0.2.1:", id="no address of ours"),
        pytest.param(["light.onnx", "--native"], "Runtime option 'native'", id="no option of the engine"),
    ],
)
def test_bad_start_is_answered_in_one_line(  # noqa: PLR0917 - fixtures
    words: list[str],
    said: str,
    light_artifact: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = light_artifact.read_bytes()
    for name in ("light.onnx", "light.txt"):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "cut.onnx").write_bytes(data[: len(data) // 2])
    _with_wrong_proof(light_artifact, tmp_path / "wrong.onnx")
    monkeypatch.chdir(tmp_path)
    port = [] if "--port" in words else ["--port", "0"]
    assert main(["demo", *words, *port]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and said in err


def test_busy_port_is_answered_in_one_line(light_artifact: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["demo", str(light_artifact), "--port", str(port)]) == 2
    assert f"Address 127.0.0.1:{port}: got Address already in use" in capfd.readouterr().err


def test_free_port_is_found() -> None:
    with listening_socket("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0


def _with_wrong_proof(source: Path, target: Path) -> None:
    artifact = read_artifact(source)
    grey = np.full((28, 28), 200, np.uint8)
    item = artifact.spec.input.encode(artifact.spec.input.load(grey).source)
    wrong = GoldenSample.of(item, {"scores": np.array([0.0, 1.0], np.float32)})
    write_artifact(target, artifact.payload, replace(artifact.manifest, samples=(wrong,)))


def _scores(*values: float) -> Classification:
    return Classification.ranked_later(("a", "b"), 2, np.array(values, np.float32), None)


def _boxes(*lefts: float) -> Detections:
    boxes = np.array([(left, 0, left + 10, 10) for left in lefts], np.float32).reshape(-1, 4)
    count = len(lefts)
    return Detections(boxes, np.ones(count, np.float32), np.zeros(count, np.int64), ("a",) * count, None)


def _mask(*values: int) -> Segmentation:
    return Segmentation.of(np.array([values], np.uint8), ("a", "b"), None)


def _text(text: str) -> GeneratedText:
    return GeneratedText(text, "", 1, 0.0, "end")


def _array(*values: float) -> Arrays:
    return Arrays({"x": np.array(values, np.float32)}, None)


def _unit(x: float, y: float) -> Embedding:
    vector: Array = np.array([x, y], np.float32)
    return Embedding(vector / np.linalg.norm(vector), None)


@pytest.mark.parametrize(
    ("found", "expected", "same", "words"),
    [
        pytest.param(_scores(0.6, 0.4), _scores(0.9, 0.1), True, "same label, scores within 0.3", id="label"),
        pytest.param(_scores(0.4, 0.6), _scores(0.6, 0.4), False, "another label", id="another label"),
        pytest.param(_boxes(0, 50), _boxes(1, 50), True, "2 of 2 boxes", id="boxes"),
        pytest.param(_boxes(0), _boxes(0, 50), False, "1 of 2 boxes found again, 1 in all", id="box missed"),
        pytest.param(_boxes(), _boxes(), True, "0 of 0 boxes", id="no boxes"),
        pytest.param(_boxes(0, 50), _boxes(0), False, "1 of 1 boxes found again, 2 in all", id="box more"),
        pytest.param(_mask(0, 1), _mask(0, 1), True, "100.00% of the pixels", id="mask"),
        pytest.param(_mask(0, 1), _mask(1, 1), False, "50.00% of the pixels", id="another mask"),
        pytest.param(_text("abc"), _text("abc"), True, "the same text", id="text"),
        pytest.param(_text("abd"), _text("abc"), False, "from character 3 on", id="another text"),
        pytest.param(_text("ab"), _text("abc"), False, "from character 3 on", id="shorter text"),
        pytest.param(_array(1, 2), _array(1, 2), True, "within 0", id="arrays"),
        pytest.param(_array(1, np.nan), _array(1, 2), False, "within inf", id="not a number"),
        pytest.param(_array(1), _array(1, 2), False, "another shape", id="another shape"),
        pytest.param(_unit(1, 0), _unit(2, 0), True, "cosine 1.0000", id="vector"),
        pytest.param(_unit(1, 0), _unit(0, 1), False, "cosine 0.0000", id="another vector"),
    ],
)
def test_agreement_tells_how_far_answers_are_the_same(
    found: object, expected: object, same: bool, words: str
) -> None:
    held = agreement(found, expected)
    assert held.same is same
    assert words in held.words
