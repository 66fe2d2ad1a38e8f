"""Command-line options of task ``seq2seq``. Their defaults live in `Seq2SeqOptions`."""

from __future__ import annotations

import argparse
from typing import Any

# Written out, not imported: their modules load torch, and `--help` must not.
_ATTENTIONS, _SOURCE_UNITS, _TARGET_UNITS = ("additive", "dot"), ("char", "word", "bpe"), ("char", "word")


def add_seq2seq_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `Seq2SeqOptions`; each default is None: not given."""
    _add_texts(parser.add_argument_group("texts"))
    _add_network(parser.add_argument_group("the network"))
    _add_decoding(parser.add_argument_group("learning and decoding"))


def _add_texts(group: Any) -> None:
    group.add_argument("--source-column", metavar="NAME", help="of what is read, or its number. Default: 1")
    group.add_argument("--target-column", metavar="NAME", help="of what is written. Default: 2")
    group.add_argument(
        "--source-units",
        choices=_SOURCE_UNITS,
        help="what is read as a token: a character; a word, digit by digit where it is a number; or byte "
        "pairs. Words make short inputs, which phones decode faster. Default: char",
    )
    group.add_argument(
        "--source-vocabulary", type=int, metavar="N", help="most different tokens read. Default: 8000"
    )
    group.add_argument(
        "--lower-case", action="store_true", default=None, help="read everything in lower case"
    )
    group.add_argument(
        "--target-units", choices=_TARGET_UNITS, help="what is written at a time. Default: char"
    )
    group.add_argument(
        "--max-source-tokens",
        type=int,
        metavar="N",
        help="longer texts are cut. Default: the longest there is",
    )
    group.add_argument(
        "--max-target-tokens",
        type=int,
        metavar="N",
        help="most tokens written. Default: by the longest target",
    )


def _add_network(group: Any) -> None:
    group.add_argument("--embedding", type=int, metavar="N", help="numbers per token. Default: 64")
    group.add_argument("--hidden", type=int, metavar="N", help="width of the LSTMs, even. Default: 128")
    group.add_argument("--layers", type=int, metavar="N", help="LSTM layers on either side. Default: 1")
    group.add_argument("--dropout", type=float, metavar="X", help="default: 0.1")
    group.add_argument(
        "--attention", choices=_ATTENTIONS, help="how the decoder looks back. Default: additive"
    )


def _add_decoding(group: Any) -> None:
    group.add_argument(
        "--teacher-forcing",
        type=float,
        metavar="SHARE",
        help="share of tokens behind which the right one is given in place of the network's own, at the "
        "start of the run. Default: 1",
    )
    group.add_argument(
        "--teacher-forcing-end",
        type=float,
        metavar="SHARE",
        help="the same at the end; it falls evenly over the run. Default: 0.5",
    )
    group.add_argument("--label-smoothing", type=float, metavar="X", help="default: 0")
    group.add_argument(
        "--beams",
        type=int,
        metavar="N",
        help="texts that the artifact weighs side by side; 1 is greedy. Default: 1",
    )
    group.add_argument(
        "--length-penalty",
        type=float,
        metavar="X",
        help="0 ranks texts by their probability, 1 by its mean per token. Default: 1",
    )
