"""Options of task ``text``. Their defaults live in `TextOptions`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

# Written out, not imported: their modules load torch, and `--help` must not.
_LOSSES = ("cross-entropy", "focal")
_STRATEGIES = ("none", "head-only", "last-blocks", "discriminative")


def add_text_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `TextOptions`; each default is None: not given."""
    _add_data(parser.add_argument_group("where the table holds what"))
    _add_texts(parser.add_argument_group("texts"))
    _add_network(parser.add_argument_group("network"))
    _add_learning(parser.add_argument_group("what is learned, and how"))


def _add_data(data: Any) -> None:
    data.add_argument("--text-column", metavar="NAME", help="its name, or its number from 1. Default: text")
    data.add_argument("--label-column", metavar="NAME", help="likewise. Default: label")
    data.add_argument(
        "--header",
        choices=("yes", "no"),
        help="whether the first row names the columns. Default: yes, unless both columns are numbers",
    )
    data.add_argument(
        "--class-names",
        nargs="+",
        metavar="NAME",
        help="what the labels are called, in their order: numbers by value, words by alphabet. Default: as "
        "in the table",
    )


def _add_texts(texts: Any) -> None:
    texts.add_argument(
        "--max-tokens", type=int, metavar="N", help="longer texts are cut to so many tokens. Default: 64"
    )
    texts.add_argument(
        "--truncate", choices=("right", "left"), help="which end of a long text is cut off. Default: right"
    )
    texts.add_argument(
        "--vocabulary",
        type=int,
        metavar="N",
        help="for text_lstm: most words that are told apart. Default: 8000",
    )
    texts.add_argument(
        "--cased",
        action="store_true",
        default=None,
        help="for text_lstm: keep capitals and accents. Default: all is made lower case without accents",
    )
    texts.add_argument(
        "--tokenizer",
        type=Path,
        metavar="FILE",
        help="for text_lstm: a tokenizer.json instead of a vocabulary from the training texts",
    )


def _add_network(network: Any) -> None:
    network.add_argument(
        "--pretrained-from",
        type=Path,
        metavar="DIR",
        help="for bert: a directory of transformers with config.json, model.safetensors and tokenizer.json",
    )
    network.add_argument(
        "--pooling",
        choices=("mean", "first"),
        help="for bert: what the head looks at, the mean of all tokens or the first one. Default: mean",
    )
    network.add_argument("--hidden", type=int, metavar="N", help="for text_lstm: width. Default: 128")
    network.add_argument("--embedding", type=int, metavar="N", help="for text_lstm: likewise. Default: 128")
    network.add_argument("--layers", type=int, metavar="N", help="for text_lstm. Default: 1")
    network.add_argument("--dropout", type=float, metavar="P", help="default: 0.1, for text_lstm 0.5")


def _add_learning(learning: Any) -> None:
    learning.add_argument(
        "--freeze",
        choices=_STRATEGIES,
        help="with learned weights: train the head only; the head and the last two layers; or everything, "
        "earlier layers slower (discriminative). Default: none",
    )
    learning.add_argument(
        "--layer-decay",
        type=float,
        metavar="X",
        help="each layer learns slower than the one behind it by this factor, such as 0.9. Default: 1",
    )
    learning.add_argument(
        "--decay-all",
        action="store_true",
        default=None,
        help="weight decay acts on biases and normalisations too. Default: on weights alone",
    )
    learning.add_argument(
        "--word-dropout",
        type=float,
        metavar="P",
        help="share of the tokens that are hidden while training. Default: 0, for text_lstm 0.1",
    )
    learning.add_argument(
        "--loss", choices=_LOSSES, help="focal counts easy texts less. Default: cross-entropy"
    )
    learning.add_argument(
        "--label-smoothing",
        type=float,
        metavar="SHARE",
        help="of the target, spread over all classes. Default: 0",
    )
    learning.add_argument(
        "--weighted-sampling",
        action="store_true",
        default=None,
        help="draw every class equally often, for sets where some are rare",
    )
