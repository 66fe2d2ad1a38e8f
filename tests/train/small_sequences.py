"""Small texts, series and pairs that are made on the spot, and options that train every task in a second."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.train.small_data import COLOURS, write_idx_folder, write_pictures
from train.options import TrainOptions, make_options

HORIZON, CONTEXT = 4, 8
VGG = "vgg.safetensors"
_GOOD, _BAD = ("fine", "lovely", "great"), ("poor", "dull", "awful")
_WORDS = ("the", "film", "was", "a", "story", "plot", "of", "people")


def write_reviews(path: Path, count: int = 48) -> Path:
    """A TSV with a header, half of the texts good (``pos``) and half bad."""
    generator = np.random.default_rng(1)
    lines = ["text\tlabel"]
    for at in range(count):
        words = [*generator.choice(_WORDS, 3), str(generator.choice(_BAD if at % 2 else _GOOD))]
        lines.append(f"{' '.join(generator.permutation(words))}\t{'neg' if at % 2 else 'pos'}")
    path.write_text("\n".join(lines) + "\n")
    return path


def series_rows(count: int = 160) -> list[tuple[str, str]]:
    """Hours and what a day does to a number."""
    generator = np.random.default_rng(2)
    start = datetime(2024, 1, 1)
    values = 10 + 3 * np.sin(np.arange(count) * np.pi / 6) + generator.normal(0, 0.2, count)
    return [((start + timedelta(hours=at)).isoformat(" "), f"{value:.3f}") for at, value in enumerate(values)]


def write_series(path: Path, rows: list[tuple[str, str]] | None = None) -> Path:
    """A CSV with the columns ``time`` and ``load``."""
    lines = [",".join(row) for row in [("time", "load"), *(series_rows() if rows is None else rows)]]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_corpus(path: Path) -> Path:
    """Some sentences that repeat their words."""
    generator = np.random.default_rng(3)
    sentences = [" ".join(generator.choice(_WORDS, 6)) + "." for _ in range(60)]
    path.write_text("\n".join(sentences) + "\n")
    return path


def write_pairs(path: Path, count: int = 48) -> Path:
    """A TSV without a header: a small number, and the same with a zero in front."""
    path.write_text("".join(f"day {at}\t0{at}\n" for at in range(count)))
    return path


def write_photos(folder: Path) -> Path:
    """Photos in ``photos/``, and beside it ``style.png`` and VGG-16's shapes with weights of chance."""
    if not (folder / VGG).exists():
        write_pictures(folder / "photos", COLOURS["red"], 4, seed=4)
        write_pictures(folder / "styles", COLOURS["blue"], 1, seed=5)
        write_vgg(folder / VGG)
    return folder / "photos"


def write_vgg(path: Path) -> Path:
    """A file like VGG-16's convolutions up to the fourth block, of chance but of the right size."""
    from safetensors.torch import save_file

    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)
    widths = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512)
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for place, (taken, given) in zip(places, pairwise(widths), strict=True):
        weight = torch.randn(given, taken, 3, 3, generator=generator) * (2 / (9 * taken)) ** 0.5
        tensors |= {f"{place}.weight": weight.half(), f"{place}.bias": torch.zeros(given).half()}
    save_file(tensors, path)
    return path


DATA = {
    "text": lambda folder: write_reviews(folder / "train.tsv"),
    "forecast": lambda folder: write_series(folder / "series.csv"),
    "gpt": lambda folder: write_corpus(folder / "corpus.txt"),
    "seq2seq": lambda folder: write_pairs(folder / "train.tsv"),
    "gan": lambda folder: write_idx_folder(folder / "digits", per_class=70),
    "style": write_photos,
}
"""Writes what a task learns from into a folder, and gives its path."""

SMALL: dict[str, dict[str, Any]] = {
    "text": {"model": "text_lstm", "hidden": 8, "embedding": 8, "vocabulary": 60, "max_tokens": 8},
    "forecast": {
        "horizon": HORIZON,
        "context": CONTEXT,
        "season": HORIZON,
        "patch": HORIZON,
        "hidden": 8,
        "stride": 4,
    },
    "gpt": {"tokenizer": "characters", "context": 16, "layers": 1, "heads": 2, "width": 16},
    "seq2seq": {"embedding": 8, "hidden": 16},
    "gan": {"image_size": 8, "dimensions": 8, "width": 4, "score_samples": 20},
    "style": {"image_size": 16, "crop_size": 16, "style_size": 16, "crops": 16, "width": 4, "blocks": 1},
}
"""Networks of some hundred weights."""


def small_options(task: str, folder: Path, out: Path, **given: Any) -> TrainOptions:
    """Options of a run of a second or two on data that is written into `folder`."""
    folder.mkdir(exist_ok=True)
    files = {"style": folder / "styles" / "000.png", "vgg": folder / VGG} if task == "style" else {}
    general = {"epochs": 2, "batch_size": 8, "threads": 1, "num_workers": 0, "device": "cpu"}
    return make_options(task, DATA[task](folder), out, **{**general, **SMALL[task], **files, **given})
