"""Options of task ``gpt``. Their defaults live in `GptOptions`."""

from __future__ import annotations

import argparse
from pathlib import Path

# Written out, not imported: `train.prompt_tokenizers` is cheap, but this is what `--help` says.
_TOKENIZERS = ("bpe", "characters")


def add_gpt_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `GptOptions`; each default is None: not given."""
    text = parser.add_argument_group("text")
    text.add_argument(
        "--tokenizer",
        choices=_TOKENIZERS,
        help="bpe: pieces of words, learned from the training text (byte-level byte pairs); characters: one "
        "token each. Default: bpe",
    )
    text.add_argument("--vocabulary", type=int, metavar="N", help="tokens of bpe. Default: 2048")
    network = parser.add_argument_group("network")
    network.add_argument(
        "--context", type=int, metavar="N", help="most tokens that the network looks at. Default: 128"
    )
    network.add_argument("--layers", type=int, metavar="N", help="blocks. Default: 4")
    network.add_argument("--heads", type=int, metavar="N", help="of attention in each. Default: 4")
    network.add_argument("--width", type=int, metavar="N", help="numbers per token. Default: 128")
    network.add_argument(
        "--dropout", type=float, metavar="SHARE", help="dropped while training. Default: 0.1"
    )
    network.add_argument(
        "--pretrained-from",
        type=Path,
        metavar="DIR",
        help="a GPT-2 directory of transformers: its network, weights and tokenizer",
    )
    network.add_argument(
        "--max-tokens",
        type=int,
        metavar="N",
        help="most tokens that predict writes; generate can be told otherwise. Default: 32",
    )
