"""The network behind task ``gpt``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from runtimes import UsageError
from train.networks.gpt import build
from train.networks.gpt2_directory import read_gpt2_directory

SAME = 1e-5
"""The same sums in another order."""
ARGUMENTS = {"vocabulary": 50, "context": 20, "layers": 2, "heads": 2, "width": 16}


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    # Larger weights than training starts from, so that attention is not nearly even.
    built = build(**ARGUMENTS).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return built


def _ids(rows: int, length: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, 50, (rows, length)))


@pytest.mark.parametrize("padding", [0, 5], ids=["exact", "padded cache"])
def test_step_with_cache_equals_reading_everything(network: torch.nn.Module, padding: int) -> None:
    ids = _ids(2, 20)
    with torch.inference_mode():
        logits, keys, values = network(ids, torch.ones_like(ids))
        for at in (1, 7, 19):
            past = [torch.cat([c[:, :at], torch.full_like(c[:, :padding], 9.0)], 1) for c in (keys, values)]
            found, key, value = network.step(ids[:, at : at + 1], *past, torch.full((2, 1), at))
            torch.testing.assert_close(found, logits[:, at], atol=SAME, rtol=0)
            torch.testing.assert_close(key[:, 0], keys[:, at], atol=SAME, rtol=0)
            torch.testing.assert_close(value[:, 0], values[:, at], atol=SAME, rtol=0)


def test_no_token_sees_what_comes_after_it(network: torch.nn.Module) -> None:
    ids = _ids(1, 12)
    changed = ids.clone()
    changed[0, 8:] = (changed[0, 8:] + 7) % 50
    with torch.inference_mode():
        one, other = (network.logits(rows) for rows in (ids, changed))
    torch.testing.assert_close(one[:, :8], other[:, :8], atol=SAME, rtol=0)
    assert (one[:, 8:] - other[:, 8:]).abs().max() > 0.1


def test_padding_changes_nothing_and_leaves_no_trace_in_the_cache(network: torch.nn.Module) -> None:
    ids = _ids(1, 9)
    padded = torch.cat([ids, torch.full((1, 4), 3)], 1)
    mask = torch.cat([torch.ones_like(ids), torch.zeros(1, 4, dtype=torch.int64)], 1)
    with torch.inference_mode():
        plain = network(ids, torch.ones_like(ids))
        found = network(padded, mask)
    for one, other in zip(plain, found, strict=True):
        torch.testing.assert_close(other[:, :9], one, atol=SAME, rtol=0)
    assert not found[1][:, 9:].any()
    assert not found[2][:, 9:].any()


def test_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="width 10 of 3 heads"):
        build(**{**ARGUMENTS, "width": 10, "heads": 3})


@pytest.fixture(scope="module")
def gpt2_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 as `transformers` writes it, with a tokenizer of 260 tokens."""
    from tokenizers import Tokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    from train.prompt_tokenizers import byte_pair_tokenizer

    folder = tmp_path_factory.mktemp("gpt2")
    torch.manual_seed(3)
    config = GPT2Config(
        vocab_size=264, n_positions=20, n_embd=16, n_layer=2, n_head=2, layer_norm_epsilon=1e-4
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    text = byte_pair_tokenizer(["a small text"], 260).replace("<|end|>", "<|endoftext|>")
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text)).save_pretrained(folder)
    return folder


def test_gpt2_directory_gives_the_logits_of_transformers(gpt2_directory: Path) -> None:
    from transformers import GPT2LMHeadModel

    found = read_gpt2_directory(gpt2_directory, dropout=0.0)
    network = build(**found.arguments).eval()
    network.load_state_dict(found.weights)
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 260, (2, 15)))
    reference = GPT2LMHeadModel.from_pretrained(gpt2_directory).eval()
    with torch.inference_mode():
        expected = reference(ids).logits
        torch.testing.assert_close(network.logits(ids), expected, atol=SAME, rtol=0)
    assert found.arguments["epsilon"] == 1e-4
    assert "<|endoftext|>" in found.tokenizer


def test_gpt2_directory_is_fine_tuned(gpt2_directory: Path, tmp_path: Path) -> None:
    from tests.tiny_gpt import rhyme
    from train.loop import train
    from train.options import make_options

    (tmp_path / "text.txt").write_text(rhyme(40), encoding="utf-8")
    options = make_options(
        "gpt", tmp_path / "text.txt", tmp_path / "run", pretrained_from=gpt2_directory, epochs=1, threads=1
    )
    assert options.lr == 5e-5, "gently"
    result = train(options)
    assert 100 < result.metrics[0].value < 300, "about as unsure as weights of chance are"


@pytest.mark.parametrize("content", [None, "{}", '{"model_type": "bert"}'], ids=["absent", "empty", "bert"])
def test_other_directories_are_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UsageError, match="expected a GPT-2 directory of transformers"):
        read_gpt2_directory(tmp_path, 0.0)
