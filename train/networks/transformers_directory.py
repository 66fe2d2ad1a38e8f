"""Directories of `transformers`: configuration, weights and tokenizer of a text encoder. No hub is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from runtimes import UsageError
from runtimes.errors import first_line
from train.networks.quiet_transformers import quiet_transformers

_NOTES = ("_name_or_path", "architectures", "transformers_version", "torch_dtype", "dtype")
"""Keys of a configuration that say nothing of how the network is built."""
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"


@dataclass(frozen=True)
class Encoder:
    """A text encoder as a directory holds it.

    Attributes:
        config: Its configuration, plain JSON.
        tokenizer: JSON of its tokenizer.
        state: Its weights by name, float32.
    """

    config: dict[str, Any]
    tokenizer: str
    state: dict[str, Tensor]


def read_directory(folder: Path) -> Encoder:
    """Read a directory that `save_pretrained` wrote.

    Raises:
        UsageError: Something is missing or unreadable, it holds no encoder, or the tokenizer has more tokens
            than the network knows.
    """
    config = _config(folder)
    tokenizer = _tokenizer(folder)
    _require_same_vocabulary(folder, config, tokenizer)
    return Encoder(config, tokenizer, _state(folder, config))


def _config(folder: Path) -> dict[str, Any]:
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise _wrong(folder, f"no {missing[0]}" if folder.is_dir() else "no such folder")
    try:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
        return {key: value for key, value in config.items() if key not in _NOTES}
    except (OSError, ValueError, AttributeError) as error:
        raise _wrong(folder, f"a {CONFIG} that cannot be read ({first_line(error)})") from error


def _tokenizer(folder: Path) -> str:
    """Its JSON; from another form where that is all there is, by `transformers` itself."""
    try:
        if (folder / TOKENIZER).is_file():
            return (folder / TOKENIZER).read_text("utf-8")
        from transformers import AutoTokenizer

        with quiet_transformers():
            return str(
                AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer.to_str()
            )
    except Exception as error:  # the library raises whatever it stumbles over
        raise _wrong(folder, f"no tokenizer ({first_line(error)})") from error


def _require_same_vocabulary(folder: Path, config: dict[str, Any], tokenizer: str) -> None:
    from tokenizers import Tokenizer

    try:
        highest = max(Tokenizer.from_str(tokenizer).get_vocab().values())
    except Exception as error:  # the library raises plain Exception
        raise _wrong(folder, f"a tokenizer that cannot be read ({first_line(error)})") from error
    rows = int(config.get("vocab_size", 0))
    if highest >= rows:
        raise UsageError(
            f"Directory {folder.name!r}",
            got=f"a tokenizer with tokens up to {highest:,} and a network for {rows:,} of them",
            expected="a tokenizer whose vocabulary the network has",
            fix=f"Put the {TOKENIZER} beside the weights that were trained with it.",
        )


def _state(folder: Path, config: dict[str, Any]) -> dict[str, Tensor]:
    import torch

    try:
        with quiet_transformers():
            from transformers import AutoModel

            model, told = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:  # the library raises whatever it stumbles over
        raise _wrong(folder, first_line(error)[:160]) from error
    lost = sorted(name for name in told["missing_keys"] if not name.startswith("pooler."))
    if lost:
        raise _wrong(folder, f"weights without {lost[0]!r} for a {config.get('model_type')}")
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("pooler.")}


def _wrong(folder: Path, got: str) -> UsageError:
    return UsageError(
        f"Directory {folder.name!r}",
        got=got,
        expected=f"a text encoder of transformers: {CONFIG}, {WEIGHTS} and {TOKENIZER}",
        fix="Check --pretrained-from; save_pretrained() writes such a directory.",
    )
