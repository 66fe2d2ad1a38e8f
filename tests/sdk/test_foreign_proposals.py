"""Drafts of specs for models of other tools: what is certain, what is guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import ArtifactError
from sdk import Predictor, Spec
from sdk.command import main
from sdk.foreign.onnx_outline import read_outline
from sdk.foreign.propose import Proposal, propose_spec
from sdk.foreign.state import state_pairs
from tests.sdk.foreign_models import FLOAT, INT64, UINT8, colour_classifier, node, write_model


def draft_of(folder: Path, inputs: Any, outputs: Any, last: Any = None, **more: Any) -> Proposal:
    """The draft for a graph with these tensors; what it computes does not matter."""
    nodes = [last] if last is not None else []
    return propose_spec(write_model(folder / "m.onnx", nodes, inputs, outputs, **more))


def one_picture(folder: Path, shape: Any, output: Any, last: Any = None, **more: Any) -> Proposal:
    return draft_of(folder, [("x", FLOAT, shape)], [("y", *output)], last, **more)


def test_every_draft_is_a_whole_spec(tmp_path: Path) -> None:
    proposal = propose_spec(colour_classifier(tmp_path / "flowers.onnx"))
    data = json.loads(json.dumps(proposal.to_json()))

    assert Spec.from_json(data["spec"]) == proposal.spec
    assert set(data) == {"spec", "certain", "guessed"}
    assert proposal.spec.name == "flowers"
    assert "opset 17" in data["certain"]["file"] and "elsewhere" in data["certain"]["file"]


@pytest.mark.parametrize(
    ("shape", "size_wh", "certain"),
    [
        (["N", 3, 48, 64], (64, 48), True),
        ([1, 3, 48, 64], (64, 48), True),
        ([None, 48, 64, 3], (64, 48), True),
        ([None, 3, "height", "width"], (224, 224), False),
        ([None, 3, None, None], (224, 224), False),
        ([None, 1, 28, 28], (28, 28), True),
    ],
    ids=["named batch", "fixed batch", "channels last", "named sides", "unnamed sides", "grey"],
)
def test_picture_is_recognised(tmp_path: Path, shape: Any, size_wh: tuple[int, int], certain: bool) -> None:
    proposal = one_picture(tmp_path, shape, (FLOAT, [shape[0], 10]))

    assert proposal.spec.input.to_json()["size_wh"] == list(size_wh)
    assert ("input.size_wh" in proposal.notes.certain) is certain
    assert ("input.size_wh" in proposal.notes.guessed) is not certain
    assert proposal.spec.input.to_json()["channels"] == ("grey" if 1 in shape[1:] else "rgb")
    assert ("layout" in proposal.spec.baked) is (shape[-1] == 3)


@pytest.mark.parametrize(
    ("operator", "activation", "baked"),
    [("Softmax", "softmax", True), ("Sigmoid", "sigmoid", True), ("LogSoftmax", "softmax", False),
     (None, "softmax", False)],
)  # fmt: skip
def test_activation_is_read_off_the_last_operator(
    tmp_path: Path, operator: str | None, activation: str, baked: bool
) -> None:
    proposal = propose_spec(colour_classifier(tmp_path / "m.onnx", end=operator))

    assert proposal.spec.output.to_json()["activation"] == activation
    assert ("activation" in proposal.spec.baked) is baked
    assert ("output.activation" in proposal.notes.certain) is (operator is not None)


@pytest.mark.parametrize(
    ("key", "text"),
    [("names", "{0: 'a', 1: 'b', 2: 'c'}"), ("labels", '["a", "b", "c"]'), ("classes", "a, b, c"),
     ("id2label", '{"0": "a", "1": "b", "2": "c"}')],
)  # fmt: skip
def test_labels_are_taken_from_metadata(tmp_path: Path, key: str, text: str) -> None:
    proposal = propose_spec(colour_classifier(tmp_path / "m.onnx", metadata={key: text}))

    assert proposal.spec.output.to_json()["labels"] == ["a", "b", "c"]
    assert "output.labels" in proposal.notes.certain


@pytest.mark.parametrize("text", ["['a', 'b']", "['a', 'a', 'b']", "__import__('os')", "[" * 5000, ""])
def test_labels_that_do_not_fit_are_numbers(tmp_path: Path, text: str) -> None:
    proposal = propose_spec(colour_classifier(tmp_path / "m.onnx", metadata={"names": text}))

    assert proposal.spec.output.to_json()["labels"] == ["class 0", "class 1", "class 2"]
    assert "output.labels" in proposal.notes.guessed


@pytest.mark.parametrize(
    ("shape", "kind", "wanted"),
    [
        (["N", 10], "classification", {"activation": "softmax"}),
        (["N", 512], "embedding", {"dimensions": 512}),
        (["N", 84, 8400], "candidate_boxes", {"layout": "values_first", "objectness": False}),
        (["N", 84, "anchors"], "candidate_boxes", {"layout": "values_first"}),
        (["N", 25200, 85], "candidate_boxes", {"layout": "values_last", "objectness": True}),
        (["N", 300, 6], "box_rows", {"output": "y"}),
        (["N", 21, 64, 64], "segmentation", {"activation": "softmax"}),
        (["N", 3, 64, 64], "arrays", {"batched": True}),
        (["N", 7, 7, 5, 5], "arrays", {"batched": True}),
        ([100, 4], "arrays", {"batched": False}),
        (["N"], "arrays", {"batched": True}),
    ],
    ids=str,
)
def test_answer_is_guessed_from_the_shape(
    tmp_path: Path, shape: Any, kind: str, wanted: dict[str, Any]
) -> None:
    proposal = one_picture(tmp_path, ["N", 3, 64, 64], (FLOAT, shape))
    output = proposal.spec.output.to_json()

    assert output["kind"] == kind
    assert {key: output[key] for key in wanted} == wanted
    assert "task" in proposal.notes.guessed
    assert proposal.spec.graph().roles["x"] == "image"


def test_labels_count_tells_classes_from_an_embedding(tmp_path: Path) -> None:
    names = json.dumps([f"n{at}" for at in range(512)])
    proposal = one_picture(tmp_path, ["N", 3, 64, 64], (FLOAT, ["N", 512]), metadata={"labels": names})

    assert proposal.spec.output.kind == "classification"


@pytest.mark.parametrize("operator", ["LpNormalization", "Div"])
def test_unit_length_is_read_off_the_operators(tmp_path: Path, operator: str) -> None:
    nodes = [node("Flatten", ["x"], ["flat"])]
    if operator == "Div":
        nodes += [
            node("ReduceL2", ["flat"], ["length"], axes=[1]),
            node("Clip", ["length"], ["some"]),
            node("Expand", ["some", "shape"], ["wide"]),
            node("Div", ["flat", "wide"], ["y"]),
        ]
    else:
        nodes.append(node("LpNormalization", ["flat"], ["y"], axis=1))
    path = write_model(tmp_path / "m.onnx", nodes, [("x", FLOAT, ["N", 3, 2, 5])], [("y", FLOAT, ["N", 30])])
    proposal = propose_spec(path)

    assert proposal.spec.output.to_json() == {"kind": "embedding", "dimensions": 30}
    assert "unit_length" in proposal.spec.baked
    assert "task" in proposal.notes.certain


@pytest.mark.parametrize(
    ("first", "scale", "mean"),
    [("Sub", 1.0, 0.0), ("Mul", 1.0, 0.0), ("Conv", 1 / 255, 0.485)],
)
def test_normalisation_in_the_graph_is_seen(tmp_path: Path, first: str, scale: float, mean: float) -> None:
    nodes = [node("Cast", ["x"], ["c"], to=FLOAT), node(first, ["c", "w"], ["y"])]
    path = write_model(tmp_path / "m.onnx", nodes, [("x", FLOAT, ["N", 3, 8, 8])], [("y", FLOAT, ["N", 10])])
    image = propose_spec(path).spec.input.to_json()

    assert image["scale"] == pytest.approx(scale)
    assert image["mean"][0] == mean


def test_bytes_are_certainly_not_normalised(tmp_path: Path) -> None:
    proposal = draft_of(tmp_path, [("x", UINT8, [1, 3, 8, 8])], [("y", FLOAT, [1, 10])])

    assert "input.scale" in proposal.notes.certain
    assert {"cast", "normalise"} <= set(proposal.spec.baked)


def test_boxes_without_a_batch_are_read_one_picture_at_a_time(tmp_path: Path) -> None:
    tensors = [("boxes", FLOAT, [None, 4]), ("labels", INT64, [None]), ("scores", FLOAT, [None])]
    nodes = [
        node("ReduceMean", ["x"], ["m"], keepdims=0),
        node("Unsqueeze", ["m", "zero"], ["scores"]),
        node("Cast", ["scores"], ["labels"], to=INT64),
        node("Expand", ["scores", "two"], ["boxes"]),
    ]
    path = write_model(
        tmp_path / "m.onnx", nodes, [("x", FLOAT, [1, 3, 8, 8])], tensors,
        {"zero": np.array([0]), "two": np.array([2, 4])},
    )  # fmt: skip
    spec = propose_spec(path).spec
    with Predictor(path, spec=spec) as predictor:
        results = predictor.predict([np.zeros((9, 9, 3), np.uint8)] * 3)

    assert spec.output.to_json()["batched"] is False
    assert [result["boxes"].shape for result in results] == [(2, 4)] * 3


TEXT = [("input_ids", INT64, ["batch", "sequence"]), ("attention_mask", INT64, ["batch", "sequence"])]


def test_text_model_takes_arrays_of_integers(tmp_path: Path) -> None:
    proposal = draft_of(tmp_path, TEXT, [("logits", FLOAT, ["batch", 2])])

    data = proposal.spec.input.to_json()
    assert data["kind"] == "arrays" and data["batched"] is True
    assert [(t["name"], t["dtype"], len(t["shape"])) for t in data["tensors"]] == [
        ("input_ids", "int64", 1),
        ("attention_mask", "int64", 1),
    ]
    assert "token numbers" in proposal.notes.certain["input 'input_ids'"]


def test_text_model_runs_in_batches(tmp_path: Path) -> None:
    nodes = [node("Mul", ["input_ids", "attention_mask"], ["kept"]), node("Cast", ["kept"], ["f"], to=FLOAT),
             node("ReduceSum", ["f", "one"], ["sums"], keepdims=1)]  # fmt: skip
    path = write_model(
        tmp_path / "m.onnx", nodes, TEXT, [("sums", FLOAT, ["batch", 1])], {"one": np.array([1])}
    )
    items = [{"input_ids": np.arange(n, n + 4), "attention_mask": np.array([1, 1, 1, 0])} for n in range(5)]
    with Predictor(path, spec=propose_spec(path).spec) as predictor:
        results = predictor.predict(items)

    assert [float(r["sums"][0]) for r in results] == [3.0, 6.0, 9.0, 12.0, 15.0]


@pytest.mark.parametrize(
    ("taken", "given"),
    [
        ("state", "stateN"),
        ("h0", "hn"),
        ("h", "hn"),
        ("hidden_in", "hidden_out"),
        ("past_key_values.3.key", "present.3.key"),
        ("prev_cache", "new_cache"),
        ("onnx::GRU_hidden", "217"),
    ],
)
def test_state_is_paired_with_what_continues_it(tmp_path: Path, taken: str, given: str) -> None:
    path = write_model(
        tmp_path / "m.onnx",
        [],
        [("audio", FLOAT, [1, 512]), (taken, FLOAT, [2, "batch", 64])],
        [("probability", FLOAT, [1, 1]), (given, FLOAT, [2, "batch", 64])],
    )
    assert [(pair.taken, pair.given) for pair in state_pairs(read_outline(path))] == [(taken, given)]
    proposal = propose_spec(path)
    assert proposal.spec.input.to_json()["batched"] is False
    assert given in proposal.notes.guessed[f"state {taken!r}"]


def test_caches_of_layers_are_not_mixed_up(tmp_path: Path) -> None:
    layers = [f"{layer}.{part}" for layer in range(3) for part in ("key", "value")]
    past = [(f"past_key_values.{name}", FLOAT, ["b", 4, "past", 8]) for name in layers]
    present = [(f"present.{name}", FLOAT, ["b", 4, "total", 8]) for name in reversed(layers)]
    path = write_model(
        tmp_path / "m.onnx",
        [],
        [("input_ids", INT64, ["b", 1]), *past],
        [("logits", FLOAT, ["b", 1, 99]), *present],
    )
    assert {(p.taken[16:], p.given[8:]) for p in state_pairs(read_outline(path))} == {(n, n) for n in layers}


def test_same_shape_alone_is_no_state(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "m.onnx", [], [("left", FLOAT, [1, 8]), ("right", FLOAT, [1, 8])], [("sum", FLOAT, [1, 8])]
    )
    assert state_pairs(read_outline(path)) == []


def test_old_opset_is_pointed_out(tmp_path: Path) -> None:
    proposal = propose_spec(colour_classifier(tmp_path / "m.onnx", opset=6, ir_version=3))

    assert "version_converter" in proposal.notes.guessed["opset"]


def test_command_prints_a_draft_that_predictor_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = colour_classifier(tmp_path / "m.onnx")
    assert main(["inspect", "--propose-spec", str(path)]) == 0
    file = tmp_path / "spec.json"
    file.write_text(capsys.readouterr().out)
    with Predictor(path, spec=file) as predictor:
        assert predictor.predict(np.zeros((8, 8, 3), np.uint8)).label.startswith("class")


def test_inspect_shows_what_a_foreign_file_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = colour_classifier(tmp_path / "m.onnx", metadata={"licence": "none"})
    assert main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    for part in ("another tool wrote it", "float32 (N, 3, 8, 8)", "opset 17", "licence", "--propose-spec"):
        assert part in text


@pytest.mark.parametrize("name", ["m.pte", "m.txt", "gone.onnx"])
def test_draft_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    if name != "gone.onnx":
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ArtifactError, match=name):
        propose_spec(tmp_path / name)
