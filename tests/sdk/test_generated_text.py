"""What a language model writes: predicted greedily, drawn, streamed and compared."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtimes import Array, Dim, EngineError, SpecError, TensorInfo, UsageError
from sdk.generation.cache import LOGITS
from sdk.inputs.prompt import PromptInput
from sdk.inputs.text import ATTENTION_MASK, INPUT_IDS
from sdk.inputs.tokenizer import pack_tokenizer
from sdk.kinds import OutputKind
from sdk.outputs.generated_text import NOTHING, SCORES, TOKENS, GeneratedTextOutput
from sdk.results import GeneratedText, TextScore
from tests.sdk.generation.remembering import VOCABULARY, Remembering, continuation
from train.prompt_tokenizers import character_tokenizer

CONTEXT, MOST = 32, 5
LETTERS = "abcdefghijklmno"  # with two special tokens: 17
SAME = 1e-6


@pytest.fixture(scope="module")
def output() -> GeneratedTextOutput:
    return GeneratedTextOutput(
        vocabulary=VOCABULARY, context=CONTEXT, end_ids=(0,), never_ids=(1,), max_tokens=MOST
    )


@pytest.fixture(scope="module")
def prompt_input() -> PromptInput:
    return PromptInput(
        tokenizer=pack_tokenizer(character_tokenizer([LETTERS])),
        vocabulary=VOCABULARY,
        max_tokens=CONTEXT,
        max_chars=16 * CONTEXT,
        truncation_side="left",
        padding_side="right",
        pad_id=0,
        lengths=(),
        buckets=(),
        inputs=(INPUT_IDS, ATTENTION_MASK),
        start_id=0,
    )


class _Predictor:
    """As much of a `Predictor` as generating needs."""

    def __init__(self, prompt_input: PromptInput, output: GeneratedTextOutput) -> None:
        logits = TensorInfo(LOGITS, "float32", (Dim(), Dim(1, CONTEXT), VOCABULARY))
        graph = SimpleNamespace(outputs=(logits,))
        self.spec = SimpleNamespace(input=prompt_input, output=output, graph=lambda: graph)
        self._model = Remembering(CONTEXT)

    def run(self, arrays: Mapping[str, Array], graph: str) -> dict[str, Array]:
        return self._model(graph, arrays)


@pytest.fixture
def predictor(prompt_input: PromptInput, output: GeneratedTextOutput) -> Any:
    return _Predictor(prompt_input, output)


def _predicted(output: GeneratedTextOutput, prompt_input: PromptInput, texts: list[str]) -> list[Any]:
    samples = [prompt_input.load(text) for text in texts]
    outputs = output.run(Remembering(CONTEXT), prompt_input.batch(samples, ()))
    return output.read(output.activate(outputs, ()), samples)


def _writable(prompt_input: PromptInput) -> list[tuple[str, list[int]]]:
    """Prompts behind which the model never wants to write the unknown token, and what it writes."""
    prompts = [first + second for first in LETTERS for second in LETTERS]
    found = [
        (text, continuation(prompt_input.load(text).arrays[INPUT_IDS].tolist(), MOST)) for text in prompts
    ]
    return [(text, written) for text, written in found if 1 not in written]


def test_prediction_is_greedy_and_texts_of_a_batch_do_not_meet(
    output: GeneratedTextOutput, prompt_input: PromptInput
) -> None:
    texts = ["abcdefg", "no", _writable(prompt_input)[0][0]]
    together = _predicted(output, prompt_input, texts)
    assert together == [_predicted(output, prompt_input, [text])[0] for text in texts]
    text, wanted = _writable(prompt_input)[0]
    shown = wanted[: wanted.index(0)] if 0 in wanted else wanted
    assert together[2].text == "".join(LETTERS[token - 2] for token in shown)
    assert together[2].prompt == text


def test_text_ends_at_the_end_token_which_counts_but_is_not_shown(
    output: GeneratedTextOutput, prompt_input: PromptInput
) -> None:
    ended = {}
    for text, _ in _writable(prompt_input):
        result = _predicted(output, prompt_input, [text])[0]
        ended.setdefault(result.finish_reason, result)
    end, length = ended["end"], ended["length"]
    assert end.tokens == len(end.text) + 1
    assert (length.tokens, len(length.text)) == (MOST, MOST)
    assert all(-1e-1 < result.score <= 0 for result in (end, length)), "it is nearly certain"


def test_drawn_text_is_the_predicted_one_at_temperature_zero(
    predictor: Any, output: GeneratedTextOutput, prompt_input: PromptInput
) -> None:
    (predicted,) = _predicted(output, prompt_input, ["abc"])
    drawn = output.generate(predictor, "abc", temperature=0)
    assert drawn.text == predicted.text
    assert drawn.score == pytest.approx(predicted.score, abs=SAME)


def test_stream_gives_the_text_in_pieces(predictor: Any, output: GeneratedTextOutput) -> None:
    options = {"max_tokens": 20, "temperature": 3.0, "seed": 5}
    whole = output.generate(predictor, "abc", **options)
    stream = output.generate(predictor, "abc", stream=True, **options)
    first = next(stream)
    pieces = [first, *stream]
    assert "".join(pieces) == whole.text == stream.result.text
    assert stream.result == whole
    assert len(pieces) > 1
    assert output.generate(predictor, "abc", **{**options, "seed": 6}).text != whole.text


def test_each_prompt_of_a_list_is_drawn_as_if_alone(predictor: Any, output: GeneratedTextOutput) -> None:
    options = {"max_tokens": 8, "temperature": 2.0, "seed": 2}
    both = output.generate(predictor, ["abc", "no"], **options)
    assert both == [output.generate(predictor, prompt, **options) for prompt in ("abc", "no")]


def test_stop_string_ends_the_text(predictor: Any, output: GeneratedTextOutput) -> None:
    texts = {
        seed: output.generate(predictor, "abc", max_tokens=20, temperature=3.0, seed=seed).text
        for seed in range(20)
    }
    seed, whole = max(texts.items(), key=lambda entry: len(entry[1]))
    options: dict[str, Any] = {"max_tokens": 20, "temperature": 3.0, "seed": seed}
    stop = whole[3:5]
    cut = output.generate(predictor, "abc", stop=stop, **options)
    assert cut.text == whole[: whole.index(stop)]
    assert cut.finish_reason == "stop"


def test_text_goes_on_beyond_the_context(predictor: Any, output: GeneratedTextOutput) -> None:
    longest = max(
        (
            output.generate(predictor, "abc", max_tokens=3 * CONTEXT, seed=s, temperature=3.0)
            for s in range(30)
        ),
        key=lambda result: result.tokens,
    )
    assert longest.tokens > CONTEXT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2.5}, "max_tokens"),
        ({"stop": ""}, "stop"),
        ({"truncation": 1.0}, "Option 'truncation': got it for a language model"),
        ({"top_k": -1}, "top_k"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(
    predictor: Any, output: GeneratedTextOutput, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        output.generate(predictor, "abc", **options)


def test_stream_of_several_prompts_is_refused(predictor: Any, output: GeneratedTextOutput) -> None:
    with pytest.raises(UsageError, match="one prompt"):
        output.generate(predictor, ["a", "b"], stream=True)


def test_model_that_overflows_is_told(predictor: Any, output: GeneratedTextOutput) -> None:
    def broken(name: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
        found = Remembering(CONTEXT)(name, arrays)
        return {**found, LOGITS: np.full_like(found[LOGITS], np.nan)}

    sample = predictor.spec.input.load("abc")
    with pytest.raises(EngineError, match="NaN or infinity"):
        output.run(broken, predictor.spec.input.batch([sample], ()))


def _told(tokens: list[int], scores: list[float]) -> dict[str, Array]:
    return {TOKENS: np.array([tokens]), SCORES: np.array([scores], np.float32)}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (_told([2, 3, 4], [-0.5, -0.5, -0.5]), 0.0),
        (_told([2, 3, 4], [-0.5, -0.5, -0.7]), np.exp(-0.5) - np.exp(-0.7)),
        (_told([2, 9, 9], [-0.5, -0.51, -9.0]), np.exp(-0.5) - np.exp(-0.51)),
        (_told([9, 3, 4], [-2.5, -0.5, -0.5]), np.exp(-0.5) - np.exp(-2.5)),
        (_told([2, 3, NOTHING], [-0.5, np.nan, 0.0]), np.inf),
    ],
    ids=["same", "another score", "a near tie", "another token", "NaN"],
)
def test_difference_is_compared_up_to_where_texts_part(
    output: GeneratedTextOutput, found: dict[str, Array], expected: float
) -> None:
    reference = _told([2, 3, 4], [-0.5, -0.5, -0.5])
    assert output.difference(found, reference) == pytest.approx(expected, abs=SAME)


def test_measuring_scores_the_text_that_is_there(
    output: GeneratedTextOutput, prompt_input: PromptInput
) -> None:
    samples = [prompt_input.load(text) for text in ("abcab", "no", "a")]
    kind = output.measuring()
    outputs = kind.run(Remembering(CONTEXT), prompt_input.batch(samples, ()))
    assert {array.shape for array in outputs.values()} == {(3, CONTEXT)}, "whatever the batch holds"
    results = kind.read(kind.activate(outputs, ()), samples)
    assert [len(result.scores) for result in results] == [4, 1, 0]
    ids = samples[0].arrays[INPUT_IDS].tolist()
    expected = [continuation(ids[:end], 1)[0] for end in range(1, 5)]
    assert results[0].likeliest.tolist() == expected
    logits = 8.0 * np.eye(VOCABULARY)[expected]
    by_hand = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))[np.arange(4), ids[1:]]
    np.testing.assert_allclose(results[0].scores, by_hand, atol=1e-5)
    assert results[2].perplexity == 1.0
    alone = kind.run(Remembering(CONTEXT), prompt_input.batch(samples[1:2], ()))
    np.testing.assert_allclose(alone[SCORES][0], outputs[SCORES][1], atol=SAME)


def test_results_tell_themselves() -> None:
    score = TextScore(np.log(np.array([0.5, 0.125])), np.array([1, 2]), "text")
    assert score.perplexity == pytest.approx(4.0)
    assert score.to_dict() == {"tokens": 2, "perplexity": pytest.approx(4.0)}
    assert score.summary() == "perplexity 4.00 over 2 tokens"
    text = GeneratedText("a", "b", 1, -0.5, "length")
    assert text.to_dict()["finish_reason"] == "length"


def test_spec_is_stored_and_read(output: GeneratedTextOutput) -> None:
    assert OutputKind.from_json(output.to_json(), "spec.output") == output


@pytest.mark.parametrize(
    "changed",
    [{"context": 1}, {"max_tokens": 0}, {"end_ids": (VOCABULARY,)}, {"never_ids": tuple(range(VOCABULARY))}],
    ids=lambda changed: next(iter(changed)),
)
def test_specs_that_contradict_themselves_are_refused(changed: dict[str, Any]) -> None:
    plain = {"vocabulary": VOCABULARY, "context": 8, "end_ids": (0,), "never_ids": (), "max_tokens": 4}
    with pytest.raises(SpecError, match=f"spec.output.{next(iter(changed))}"):
        GeneratedTextOutput(**{**plain, **changed})
