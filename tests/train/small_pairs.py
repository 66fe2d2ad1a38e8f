"""Pairs of texts that a tiny decoder learns in seconds, and the options to do so."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

WORDS = ("one", "two", "three", "four")
QUICK_PAIRS: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 16,
    "embedding": 8,
    "hidden": 16,
    "source_units": "word",
    "threads": 1,
    "device": "cpu",
}


def write_number_pairs(folder: Path) -> Path:
    """``folder/{train,val,test}.tsv``: three words a line, and the digits they name, such as ``314``.

    The 64 different triples are divided among the parts, 48, 8 and 8; each of the first stands there twice.
    """
    triples = [(a, b, c) for a in range(4) for b in range(4) for c in range(4)]
    random.Random(0).shuffle(triples)
    for part, rows in (("train", triples[:48] * 2), ("val", triples[48:56]), ("test", triples[56:])):
        lines = (
            f"{' '.join(WORDS[at] for at in row)}\t{''.join(str(at + 1) for at in row)}\n" for row in rows
        )
        (folder / f"{part}.tsv").write_text("".join(lines), encoding="utf-8")
    return folder
