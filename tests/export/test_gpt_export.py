"""A language model in every runtime: prefill and step in one file, the same text from all of them."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load

from export.pipeline import export_artifacts
from export.recipe import INT8_DYNAMIC, Recipe
from runtimes import Dim
from sdk import Predictor, read_artifact
from sdk.artifact import NOT_RUN, PROVED
from sdk.command import main
from tests.tiny_gpt import CONTEXT, write_tiny_gpt

CACHE_TOLERANCE = 1e-4
"""Between a step with a cache and reading everything anew: the same sums in another order."""
PROMPTS = ("The cat", "The naïve 🙂 owl sat", "")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gpt(tmp_path_factory.mktemp("gpt"), epochs=4, lr=1e-2).path


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> Path:
    (made,) = export_artifacts(checkpoint, ["onnx"])
    assert made.evidence.status == PROVED
    assert made.evidence.metrics[0].name == "perplexity"
    assert made.evidence.parity is not None
    assert made.evidence.parity.agreement == 1.0
    return made.path


def _require_equal_steps(predictor: Predictor) -> None:
    ids = np.random.default_rng(2).integers(0, 256, (2, CONTEXT))
    whole = predictor.run({"input_ids": ids, "attention_mask": np.ones_like(ids)})
    for at in (1, 9, CONTEXT - 1):
        step = predictor.run(
            {
                "token": ids[:, at : at + 1].copy(),
                "keys": whole["keys"][:, :at].copy(),
                "values": whole["values"][:, :at].copy(),
                "length": np.full((2, 1), at),
            },
            "step",
        )
        np.testing.assert_allclose(step["logits"], whole["logits"][:, at], atol=CACHE_TOLERANCE)


def _written(predictor: Predictor) -> list[Any]:
    drawn = [predictor.generate(prompt, max_tokens=40, top_p=0.9, seed=4) for prompt in PROMPTS]
    return [*predictor.predict(list(PROMPTS)), *drawn]


def _require_same_text(path: Path, checkpoint: Path) -> None:
    with Predictor(checkpoint) as reference, Predictor(path) as predictor:
        expected, found = _written(reference), _written(predictor)
        assert [result.text for result in found] == [result.text for result in expected]
        assert [r.score for r in found] == pytest.approx([r.score for r in expected], abs=CACHE_TOLERANCE)
        assert predictor.verify().holds
        _require_equal_steps(predictor)


def test_onnx_writes_what_the_checkpoint_writes(exported: Path, checkpoint: Path) -> None:
    _require_same_text(exported, checkpoint)


def test_weights_that_both_graphs_use_are_stored_once(exported: Path, checkpoint: Path) -> None:
    weights = load(read_artifact(checkpoint).payload)
    program = exported.read_bytes()
    assert program.count(weights["tokens.weight"].numpy().tobytes()) == 1


@pytest.mark.slow
def test_executorch_writes_what_the_checkpoint_writes(checkpoint: Path, tmp_path: Path) -> None:
    (made,) = export_artifacts(checkpoint, ["pte"], out=tmp_path, max_batch=4)
    assert made.evidence.status == PROVED
    _require_same_text(made.path, checkpoint)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")
def test_tensorrt_engines_are_built(checkpoint: Path, tmp_path: Path) -> None:
    (made,) = export_artifacts(checkpoint, ["trt"], out=tmp_path, max_batch=2)
    assert made.evidence.status in (NOT_RUN, PROVED)
    graphs = read_artifact(made.path).spec.graphs
    assert [graph.name for graph in graphs] == ["main", "step"]
    assert {graph.inputs[0].shape[0] for graph in graphs} == {Dim(1, 2)}


@pytest.mark.slow
def test_dynamic_int8_is_proved_by_perplexity(checkpoint: Path, tmp_path: Path) -> None:
    (made,) = export_artifacts(
        checkpoint, ["onnx"], recipe=Recipe(precision=INT8_DYNAMIC), out=tmp_path, max_drop=10.0
    )
    assert made.evidence.status == PROVED
    with Predictor(made.path) as predictor:
        assert predictor.generate("The cat", max_tokens=5, seed=1).tokens <= 5


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_generate_prints_prompt_and_text(exported: Path, command: Any) -> None:
    options = ("--max-tokens", "12", "--top-k", "5", "--seed", "3")
    code, out, _ = command("generate", str(exported), "The dog", *options)
    with Predictor(exported) as predictor:
        expected = predictor.generate("The dog", max_tokens=12, top_k=5, seed=3)
    assert (code, out) == (0, f"The dog{expected.text}\n")
    code, out, _ = command("generate", str(exported), "The dog", *options, "--json")
    assert (code, json.loads(out)) == (0, expected.to_dict())


def test_empty_prompt_begins_a_text(exported: Path, command: Any) -> None:
    code, out, _ = command("generate", str(exported), "", "--temperature", "0", "--json")
    assert (code, json.loads(out)["prompt"]) == (0, "")


def test_predict_continues_prompts_and_files(exported: Path, command: Any, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("The bird")
    code, out, _ = command("predict", str(exported), "The cat", str(tmp_path / "prompt.txt"), "--json")
    assert code == 0
    assert [answer["prompt"] for answer in json.loads(out)] == ["The cat", "The bird"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("The cat", "--temperature", "-1"), "Option 'temperature'"),
        (("The cat", "-n", "4"), "Option -n"),
        ((), "PROMPT: got nothing"),
        (("absent.txt",), "no such file"),
    ],
    ids=["temperature", "pictures", "no prompt", "no file"],
)
def test_what_cannot_be_written_is_one_line(
    exported: Path, command: Any, words: tuple[str, ...], message: str
) -> None:
    code, out, err = command("generate", str(exported), *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_benchmark_counts_tokens(exported: Path) -> None:
    with Predictor(exported, threads=1) as predictor:
        single = predictor.benchmark(["The cat"], seconds=0.2, max_seconds=0.2)
        offline = predictor.benchmark(["The cat"], seconds=0.2, max_seconds=0.2, scenario="offline", batch=4)
        each = predictor.predict("The cat").tokens
    for run in (single, offline):
        assert run.tokens_per_s == pytest.approx(each * run.throughput_per_s, rel=1e-6)
    assert "tokens/s" in single.summary()
