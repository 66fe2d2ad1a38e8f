"""Output kind ``decoded_text`` and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from runtimes import Array, EngineError, SpecError, TensorInfo
from sdk.inputs.text import OFFSETS
from sdk.kinds import OutputKind, Sample
from sdk.outputs.decoded_text import (
    ATTENTION,
    MARGINS,
    PROBABILITIES,
    SCORES,
    TOKENS,
    DecodedTextOutput,
)
from sdk.results import Alternative, Attention, GeneratedText
from sdk.spec import Graph

KIND = DecodedTextOutput(
    tokens=("<end>", "<start>", "a", "b"),
    joiner="",
    start=1,
    end=0,
    max_tokens=3,
    max_read=4,
    beams=1,
    length_penalty=1.0,
)
WIDTH = 2
READ = Sample({OFFSETS: np.array([[0, 2], [3, 5]])}, "xy zz", {})


def _call(name: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """A decoder that writes ``a`` and as many ``b`` as it read tokens more than one, then ends."""
    rows = len(next(iter(arrays.values())))
    if name == "main":
        read = arrays["attention_mask"].sum(axis=1).astype(np.float32)
        memory = np.zeros((rows, arrays["attention_mask"].shape[1], WIDTH), np.float32)
        hidden = np.repeat(read[:, None, None], WIDTH, axis=2)
        return {"memory": memory, "keys": memory, "hidden": hidden, "cell": hidden}
    mask = arrays["attention_mask"].astype(np.float32)
    left = arrays["hidden"][:, 0, 0]
    first = arrays["token"][:, 0] == KIND.start
    wanted = np.where(first, 2, np.where(left > 0, 3, 0))
    logits = np.zeros((rows, 4), np.float32)
    logits[np.arange(rows), wanted] = 9.0
    return {
        "logits": logits,
        "next_hidden": arrays["hidden"] - 1,
        "next_cell": arrays["cell"],
        "looked": mask / mask.sum(axis=1, keepdims=True),
    }


def _outputs(kind: DecodedTextOutput = KIND) -> dict[str, Array]:
    mask = np.array([[1, 1], [1, 0]])
    return kind.activate(kind.run(_call, {"input_ids": mask, "attention_mask": mask}), ())


def test_run_gives_arrays_of_one_shape_for_every_batch() -> None:
    outputs = _outputs()
    shapes = {name: array.shape for name, array in outputs.items()}
    assert shapes == {
        TOKENS: (2, 1, 3), SCORES: (2, 1), PROBABILITIES: (2, 3), MARGINS: (2, 3), ATTENTION: (2, 3, 4),
    }  # fmt: skip
    assert outputs[TOKENS][:, 0].tolist() == [[2, 3, 0], [2, 0, 0]]


def test_read_says_what_was_written_and_where_it_looked() -> None:
    first, second = KIND.read(_outputs(), [READ, Sample({OFFSETS: np.array([[0, 1]])}, "x", {})])
    assert (first.text, first.prompt, first.tokens, first.finish_reason) == ("ab", "xy zz", 3, "end")
    assert first.score == pytest.approx(0.0, abs=1e-3)
    assert first.attention.written == ("a", "b", "<end>")
    assert first.attention.read == ("xy", "zz")
    np.testing.assert_allclose(first.attention.weights, 0.5)
    assert (second.text, second.attention.weights.shape) == ("a", (2, 1))


def test_text_that_does_not_end_is_cut_and_says_so() -> None:
    kind = replace(KIND, max_tokens=1)
    (result,) = kind.read({k: a[:1] for k, a in _outputs(kind).items()}, [READ])
    assert (result.text, result.tokens, result.finish_reason) == ("a", 1, "length")


def test_beams_become_alternatives() -> None:
    kind = replace(KIND, beams=3)
    (result, *_) = kind.read(_outputs(kind), [READ, READ])
    assert result.text == "ab"
    assert len(result.alternatives) == 2
    assert all(other.score < result.score for other in result.alternatives)


def test_words_are_joined_by_blanks() -> None:
    kind = replace(KIND, tokens=("<end>", "<start>", "good", "day"), joiner=" ")
    assert kind.read(_outputs(kind), [READ, READ])[0].text == "good day"


def _changed(outputs: dict[str, Array], name: str, at: tuple[int, ...], value: float) -> dict[str, Array]:
    array = outputs[name].copy()
    array[at] = value
    return {**outputs, name: array}


def test_difference_is_that_of_the_probabilities_while_texts_are_the_same() -> None:
    outputs = _outputs()
    assert KIND.difference(outputs, outputs) == 0.0
    moved = _changed(outputs, PROBABILITIES, (1, 0), float(outputs[PROBABILITIES][1, 0]) - 0.25)
    assert KIND.difference(moved, outputs) == pytest.approx(0.25)


@pytest.mark.parametrize("margin", [0.001, 0.9], ids=["near tie", "clear"])
def test_difference_where_texts_part_is_how_clear_the_choice_was(margin: float) -> None:
    outputs = _changed(_outputs(), MARGINS, (0, 1), margin)
    other = _changed(_changed(outputs, TOKENS, (0, 0, 1), 2), MARGINS, (0, 1), 0.0)
    # What follows the parting belongs to another text, and says nothing.
    other = _changed(other, PROBABILITIES, (0, 2), 0.1)
    assert KIND.difference(other, outputs) == pytest.approx(margin)
    assert KIND.difference(outputs, other) == pytest.approx(margin)


def test_nan_is_refused() -> None:
    broken = _changed(_outputs(), PROBABILITIES, (0, 0), np.nan)
    assert KIND.difference(broken, _outputs()) == np.inf
    with pytest.raises(EngineError, match="Output 'probabilities': got NaN"):
        KIND.read(broken, [READ, READ])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start": 4}, r"spec\.output\.start: got 4"),
        ({"end": 1}, r"spec\.output\.end: got 1, expected another number"),
        ({"max_tokens": 0}, r"spec\.output\.max_tokens: got 0"),
        ({"beams": 65}, r"spec\.output\.beams: got 65, expected 1 to 64"),
        ({"length_penalty": -0.5}, r"spec\.output\.length_penalty"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_spec_that_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        replace(KIND, **given)


def test_kind_round_trips_through_json() -> None:
    assert OutputKind.from_json(KIND.to_json(), "spec.output") == KIND


def test_variants_fix_what_was_read_and_nothing_else() -> None:
    from runtimes import Dim

    class Fed:
        buckets = (8, 16)

    batch, read = Dim(), Dim(1, 16)
    graph = Graph(
        "step",
        (TensorInfo("token", "int64", (batch, 1)), TensorInfo("memory", "float32", (batch, read, 2))),
        (TensorInfo("logits", "float32", (batch, 4)), TensorInfo("looked", "float32", (batch, read))),
    )
    first, second = KIND.variants(graph, Fed())  # type: ignore[arg-type]
    assert (first.name, second.name) == ("step@8", "step@16")
    assert [info.shape for info in (*first.inputs, *first.outputs)] == [
        (batch, 1), (batch, 8, 2), (batch, 4), (batch, 8),
    ]  # fmt: skip


RESULT = GeneratedText(
    text="2024-05-03",
    prompt="the third of May, 2024",
    tokens=11,
    score=-0.01,
    finish_reason="end",
    alternatives=(Alternative("2024-05-08", -3.0),),
    attention=Attention(np.full((2, 3), 1 / 3, np.float32), ("2", "0"), ("the", "third", "of")),
)


def test_result_as_json_and_in_a_line() -> None:
    told = RESULT.to_dict()
    assert told["text"] == "2024-05-03"
    assert told["alternatives"] == [{"text": "2024-05-08", "score": -3.0}]
    assert told["attention"]["weights"][0] == [0.3333, 0.3333, 0.3333]
    assert RESULT.summary() == "2024-05-03 (or 2024-05-08)"
    assert replace(RESULT, alternatives=(), attention=None).to_dict()["attention"] is None


def test_plot_is_darker_where_the_decoder_looked() -> None:
    weights = np.array([[0.0, 1.0]], np.float32)
    picture = replace(RESULT, attention=Attention(weights, ("2",), ("the", "third"))).plot().convert("L")
    pixels = np.asarray(picture)
    assert pixels.shape[0] > 60 and pixels.shape[1] > 100
    row = pixels[16 + 22 + 5]  # a few pixels into the only row of cells
    assert row.min() < 100 and (row == 241).sum() >= 20


def test_plot_without_attention_shows_prompt_and_text() -> None:
    picture = replace(RESULT, attention=None, text="word " * 100).plot()
    assert picture.width == 720 and picture.height > 100
    assert np.asarray(picture).min() < 60
