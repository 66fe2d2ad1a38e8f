"""Predictor on files that another tool wrote."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtimes import ArtifactError, InputError, SpecError, UsageError
from sdk import Predictor
from sdk.artifact import IMPORTED
from sdk.command import main
from sdk.foreign.adopt import adopt
from sdk.foreign.propose import propose_spec
from sdk.inputs.image import ImageInput
from sdk.spec import Spec
from tests.sdk.foreign_models import (
    FLOAT,
    FLOAT16,
    INT64,
    UINT8,
    colour_classifier,
    node,
    write_model,
)

CLOSE = 1e-6
"""The same sums in another order."""
HALF = 2e-3
"""Ten bits of mantissa."""


def picture(red: int, green: int, blue: int, side: int = 8) -> np.ndarray:
    return np.full((side, side, 3), (red, green, blue), np.uint8)


def plain(spec: Spec, **changes: object) -> Spec:
    """The draft with values 0..1, as `colour_classifier` wants them, and other changes of its input."""
    assert isinstance(spec.input, ImageInput)
    usual: dict[str, object] = {
        "resize": "stretch",
        "shortest_px": None,
        "mean": (0.0,) * 3,
        "std": (1.0,) * 3,
    }
    return replace(spec, input=replace(spec.input, **{**usual, **changes}))  # type: ignore[arg-type]


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def test_run_gives_raw_arrays(tmp_path: Path) -> None:
    path = colour_classifier(tmp_path / "m.onnx")
    with Predictor(path) as predictor:
        outputs = predictor.run({"input.1": np.ones((2, 3, 8, 8), np.float32)})
        assert predictor.manifest.evidence.status == IMPORTED
    assert list(outputs) == ["473"]
    np.testing.assert_allclose(outputs["473"], np.full((2, 3), 10.0), atol=CLOSE)


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"image": np.ones((1, 3, 8, 8), np.float32)}, r"expected a mapping with exactly \['input.1'\]"),
        ({"input.1": np.ones((1, 3, 8, 8))}, "got float64"),
        ({"input.1": np.ones((1, 3, 8), np.float32)}, r"expected float32 \(1\+, 3, 8, 8\)"),
    ],
    ids=["name", "dtype", "axes"],
)
def test_run_says_what_does_not_fit(tmp_path: Path, arrays: dict[str, np.ndarray], what: str) -> None:
    path = colour_classifier(tmp_path / "m.onnx")
    with Predictor(path) as predictor, pytest.raises(InputError, match=what):
        predictor.run(arrays)


@pytest.mark.parametrize(("opset", "ir_version"), [(7, 3), (9, 4), (13, 7), (20, 9)])
def test_old_and_new_opsets_run(tmp_path: Path, opset: int, ir_version: int) -> None:
    path = colour_classifier(
        tmp_path / "m.onnx", opset=opset, ir_version=ir_version, weights_are_inputs=ir_version < 4
    )
    with Predictor(path) as predictor:
        assert predictor.run({"input.1": np.ones((1, 3, 8, 8), np.float32)})["473"].shape == (1, 3)


def test_spec_makes_pictures_to_results(tmp_path: Path) -> None:
    path = colour_classifier(tmp_path / "m.onnx")
    spec = plain(propose_spec(path).spec)
    with Predictor(path, spec=spec) as predictor:
        result = predictor.predict(picture(51, 204, 102))
        several = predictor.predict([picture(255, 0, 0), picture(0, 0, 255)])

    assert result.label == "class 1"
    np.testing.assert_allclose(result.scores, softmax(np.array([2.0, 8.0, 4.0])), atol=CLOSE)
    assert [r.index for r in several] == [0, 2]


@pytest.mark.parametrize("form", ["object", "data", "draft", "file"])
def test_spec_is_taken_in_every_form(tmp_path: Path, form: str) -> None:
    path = colour_classifier(tmp_path / "m.onnx")
    spec = plain(propose_spec(path).spec)
    draft = {"spec": spec.to_json(), "certain": {}, "guessed": {"task": "?"}}
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(draft))
    given = {"object": spec, "data": spec.to_json(), "draft": draft, "file": str(file)}[form]
    with Predictor(path, spec=given) as predictor:
        assert predictor.predict(picture(0, 255, 0)).index == 1


def test_bgr_and_fp16_reach_the_graph_as_it_wants_them(tmp_path: Path) -> None:
    path = colour_classifier(tmp_path / "m.onnx", dtype=FLOAT16)
    spec = plain(propose_spec(path).spec, channels="bgr")
    with Predictor(path, spec=spec) as predictor:
        scores = predictor.predict(picture(51, 204, 102)).scores
    np.testing.assert_allclose(scores, softmax(np.array([4.0, 8.0, 2.0])), atol=HALF)


@pytest.mark.parametrize("dtype", [FLOAT, UINT8], ids=["float32", "uint8"])
def test_channels_last_is_fed_as_it_stands(tmp_path: Path, dtype: int) -> None:
    nodes = [
        node("Cast", ["x"], ["float"], to=FLOAT),
        node("ReduceMean", ["float"], ["y"], axes=[1, 2], keepdims=0),
    ]
    path = write_model(
        tmp_path / "m.onnx", nodes, [("x", dtype, [None, 4, 6, 3])], [("y", FLOAT, [None, 3])], opset=13
    )
    spec = propose_spec(path).spec
    if dtype == FLOAT:
        spec = plain(spec, mean=(0.0, 0.5, 1.0), scale=1 / 255)
    wanted = [0.2, 0.3, -0.6] if dtype == FLOAT else [51, 204, 102]
    with Predictor(path, spec=spec) as predictor:
        scores = predictor.predict(picture(51, 204, 102)).scores
    np.testing.assert_allclose(scores, softmax(np.array(wanted)), atol=CLOSE)


def test_settings_and_state_are_arrays(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "voice.onnx",
        [node("Cast", ["rate"], ["float_rate"], to=FLOAT), node("Mul", ["sound", "float_rate"], ["scaled"]),
         node("ReduceSum", ["scaled"], ["sum"], keepdims=0), node("Add", ["state", "sum"], ["stateN"])],
        [("sound", FLOAT, [1, "samples"]), ("state", FLOAT, [2, 1, 4]), ("rate", INT64, [])],
        [("stateN", FLOAT, [2, 1, 4]), ("sum", FLOAT, [])],
    )  # fmt: skip
    item = {
        "sound": np.ones((1, 7), np.float32),
        "state": np.zeros((2, 1, 4), np.float32),
        "rate": np.array(2, np.int64),
    }
    with Predictor(path) as predictor:
        first = predictor.predict(item)
        second, third = predictor.predict([{**item, "state": first["stateN"]}, item])

    assert first["sum"] == 14.0 and first["stateN"].shape == (2, 1, 4)
    assert float(second["stateN"][0, 0, 0]) == 28.0 and float(third["stateN"][0, 0, 0]) == 14.0


def test_answers_of_different_shapes_are_not_put_together(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], [("x", FLOAT, [1, "n"])], [("y", FLOAT, [1, "n"])]
    )
    items = [np.ones((1, length), np.float32) for length in (2, 5)]
    with Predictor(path) as predictor:
        assert [result["y"].shape for result in predictor.predict(items)] == [(1, 2), (1, 5)]
        with pytest.raises(InputError, match=r"Output 'y': got items whose answers have shapes"):
            predictor.outputs(items)


def test_weights_in_other_files_are_found(tmp_path: Path) -> None:
    import onnx

    model = onnx.load(colour_classifier(tmp_path / "m.onnx"))
    onnx.save(model, tmp_path / "e.onnx", save_as_external_data=True, location="e.bin", size_threshold=0)
    with Predictor(tmp_path / "e.onnx") as predictor:
        assert predictor.run({"input.1": np.ones((1, 3, 8, 8), np.float32)})["473"][0, 0] == pytest.approx(10)


def test_truncated_model_is_refused_before_the_engine(tmp_path: Path) -> None:
    path = colour_classifier(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match="no whole ONNX model"):
        Predictor(path)


def test_artifact_without_its_seal_is_damaged_and_not_foreign(light_artifact: Path, tmp_path: Path) -> None:
    data = light_artifact.read_bytes()
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(data.replace(b"edgewright_seal", b"edgewright_sea1"))
    for spec in (None, propose_spec(colour_classifier(tmp_path / "m.onnx")).spec):
        with pytest.raises(ArtifactError, match="do not match its own hash"):
            Predictor(cut, spec=spec)


def test_spec_for_a_file_with_a_contract_is_refused(light_artifact: Path, tmp_path: Path) -> None:
    spec = propose_spec(colour_classifier(tmp_path / "m.onnx")).spec
    with pytest.raises(UsageError, match="which carries its own"):
        Predictor(light_artifact, spec=spec)


def test_spec_of_another_graph_is_refused(tmp_path: Path) -> None:
    spec = propose_spec(colour_classifier(tmp_path / "a.onnx", image="pixels")).spec
    with pytest.raises(SpecError, match=r"got a graph with \['input.1"):
        Predictor(colour_classifier(tmp_path / "b.onnx"), spec=spec)


@pytest.mark.parametrize("role", ["input.1", "473"])
def test_role_that_nothing_has_is_refused(tmp_path: Path, role: str) -> None:
    path = colour_classifier(tmp_path / "m.onnx")
    data = propose_spec(path).spec.to_json()
    data["graphs"][0]["roles"][role] = "imagge"
    with (
        Predictor(path, spec=data) as predictor,
        pytest.raises(SpecError, match=r"spec.graphs.roles: got role"),
    ):
        predictor.predict(picture(1, 2, 3))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "no JSON"),
        ('{"spec": {}, "more": 1}', "unknown key 'more'"),
        ("[]", "version"),
        (None, "No such file"),
    ],
    ids=["no json", "more", "a list", "missing"],
)
def test_spec_that_cannot_be_read_is_named(tmp_path: Path, text: str | None, what: str) -> None:
    file = tmp_path / "spec.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SpecError, match=rf"Spec 'spec.json'.*{what}"):
        Predictor(colour_classifier(tmp_path / "m.onnx"), spec=file)


def test_input_of_unknown_shape_is_refused(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], [("x", FLOAT, None)], [("y", FLOAT, None)]
    )
    with pytest.raises(ArtifactError, match="input 'x' of unknown shape"):
        Predictor(path)


def test_commands_take_a_spec(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    from sdk.commands import adopt as command

    path, file, image = colour_classifier(tmp_path / "m.onnx"), tmp_path / "spec.json", tmp_path / "p.png"
    file.write_text(plain(propose_spec(path).spec).dumps())
    Image.fromarray(picture(0, 255, 0)).save(image)
    assert main(["predict", str(path), str(image), "--spec", str(file)]) == 0
    assert "class 1 100.0%" in capsys.readouterr().out

    parser = argparse.ArgumentParser()
    command.configure(parser)
    words = [str(path), "--spec", str(file), "--data", str(image), "--out", str(tmp_path / "mine.onnx")]
    assert command.run(parser.parse_args(words)) == 0
    assert "imported, not measured, image → classification, 1 golden samples" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "mine.onnx")]) == 0


def test_adopted_file_verifies_and_gives_the_same_answers(tmp_path: Path) -> None:
    path = colour_classifier(tmp_path / "m.onnx")
    spec = plain(propose_spec(path).spec)
    items = [picture(10 * at, 255 - 10 * at, 7 * at) for at in range(20)]
    written = adopt(path, tmp_path / "mine.onnx", spec=spec, items=items)
    with Predictor(path, spec=spec) as foreign, Predictor(tmp_path / "mine.onnx") as ours:
        assert ours.predict(items[3]).to_dict() == foreign.predict(items[3]).to_dict()
        assert ours.verify().holds and ours.verify().samples == 8
        assert ours.benchmark(seconds=0.01, max_seconds=0.02).items > 0
    assert written.payload == path.read_bytes()
    assert written.manifest.evidence.status == IMPORTED and not written.manifest.evidence.metrics


@pytest.mark.parametrize("name", ["mine.trt", "mine", "m.onnx"])
def test_adopt_refuses_a_file_that_it_should_not_write(tmp_path: Path, name: str) -> None:
    path = colour_classifier(tmp_path / "m.onnx")
    with pytest.raises(UsageError, match=rf"Output '{name}'"):
        adopt(path, tmp_path / name, items=[{"input.1": np.ones((1, 3, 8, 8), np.float32)}], overwrite=True)


def test_adopt_refuses_weights_in_other_files(tmp_path: Path) -> None:
    import onnx

    model = onnx.load(colour_classifier(tmp_path / "m.onnx"))
    onnx.save(model, tmp_path / "e.onnx", save_as_external_data=True, location="e.bin", size_threshold=0)
    with pytest.raises(UsageError, match="weights in files beside it"):
        adopt(tmp_path / "e.onnx", tmp_path / "mine.onnx", items=[1])
