"""A tiny language model with weights that chance gave, as a checkpoint: no training."""

from __future__ import annotations

from pathlib import Path

from sdk.artifact import Artifact

LINES = 120
CONTEXT = 24


def rhyme(lines: int = LINES) -> str:
    """A text with a pattern that a small network learns in a moment."""
    animals = ("cat", "dog", "bird", "fish", "naïve 🙂 owl")
    rooms = ("house", "garden", "tree")
    return "".join(
        f"The {animals[at % len(animals)]} sat in the {rooms[at % len(rooms)]} number {at}.\n"
        for at in range(lines)
    )


def write_tiny_gpt(folder: Path, **given: object) -> Artifact:
    """Train one epoch of a network of one block on `rhyme`, and open its checkpoint."""
    from sdk.artifact import read_artifact
    from train.loop import train
    from train.options import make_options

    data = folder / "rhyme.txt"
    data.write_text(rhyme(), encoding="utf-8")
    defaults = {
        "epochs": 1,
        "layers": 1,
        "width": 16,
        "heads": 2,
        "context": CONTEXT,
        "vocabulary": 300,
        "max_tokens": 6,
        "threads": 1,
        "device": "cpu",
    }
    options = make_options("gpt", data, folder / "run", **{**defaults, **given})
    return read_artifact(train(options).checkpoint)
