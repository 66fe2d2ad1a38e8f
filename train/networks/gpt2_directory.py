"""GPT-2 directories of the `transformers` library as weights of our own network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from runtimes import UsageError
from runtimes.errors import first_line

_ACTIVATIONS = {"gelu_new": "gelu-tanh", "gelu_pytorch_tanh": "gelu-tanh", "gelu": "gelu"}
_NAMES = {
    "wte": "tokens",
    "wpe": "positions",
    "ln_f": "norm",
    "ln_1": "norm_attention",
    "ln_2": "norm_hidden",
    "attn.c_attn": "query_key_value",
    "attn.c_proj": "projection",
    "mlp.c_fc": "expand",
    "mlp.c_proj": "contract",
}


class Gpt2(NamedTuple):
    """What a directory holds.

    Attributes:
        arguments: Of the builder ``gpt``.
        weights: State dict of the network that it builds.
        tokenizer: JSON of the `tokenizers` library.
    """

    arguments: dict[str, Any]
    weights: dict[str, Tensor]
    tokenizer: str


def read_gpt2_directory(folder: Path, dropout: float) -> Gpt2:
    """Read a directory that ``save_pretrained`` wrote; nothing is downloaded.

    Args:
        folder: With ``config.json``, weights and tokenizer.
        dropout: For training on.

    Raises:
        UsageError: It is not there, or holds another kind of network.
    """
    if not (folder / "config.json").is_file():
        raise _refused(folder, "no config.json in it")
    try:
        from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

        config = GPT2Config.from_pretrained(folder, local_files_only=True)
        if config.model_type != "gpt2" or config.activation_function not in _ACTIVATIONS:
            raise _refused(folder, f"a {config.model_type} with {config.activation_function}")
        network = GPT2LMHeadModel.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _refused(folder, first_line(error)) from error
    arguments = {
        "vocabulary": config.vocab_size,
        "context": config.n_positions,
        "layers": config.n_layer,
        "heads": config.n_head,
        "width": config.n_embd,
        "dropout": dropout,
        "epsilon": config.layer_norm_epsilon,
        "activation": _ACTIVATIONS[config.activation_function],
    }
    return Gpt2(arguments, _renamed(network.transformer.state_dict()), tokenizer.backend_tokenizer.to_str())


def _renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their names and layouts as ours: GPT-2 stores what its layers multiply with the other way round."""
    renamed = {}
    for name, tensor in weights.items():
        layer, _, kind = name.rpartition(".")
        if layer.startswith("h."):
            _, block, inner = layer.split(".", 2)
            if inner not in _NAMES:
                continue  # buffers of older versions: masks
            turned = tensor.T if kind == "weight" and inner.startswith(("attn", "mlp")) else tensor
            renamed[f"blocks.{block}.{_NAMES[inner]}.{kind}"] = turned.contiguous().float()
        else:
            renamed[f"{_NAMES[layer]}.{kind}"] = tensor.float()
    return renamed


def _refused(folder: Path, got: str) -> UsageError:
    return UsageError(
        f"Option --pretrained-from {folder.name!r}",
        got=got,
        expected="a GPT-2 directory of transformers, with config.json, weights and tokenizer",
        fix="Name one that save_pretrained wrote.",
    )
