"""Training texts: tokenised once, kept in memory, padded by the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from runtimes import Array, DataError, InputError
from sdk.inputs.text import INPUT_IDS, TextInput
from sdk.kinds import Sample
from train.plan import TrainSet
from train.sampling import Draw


class TextBatch(NamedTuple):
    """Several texts.

    Attributes:
        inputs: What the network takes, in its order: int64 (N, T).
        targets: Class indices, int64 (N,).
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor


class TextTrainSet(TrainSet):
    """Labelled texts for training.

    Args:
        texts: What the input's `load` takes.
        targets: Class indices, int64 (N,).
        text_input: The spec's input.
        hidden_id: What tokens that are left out are replaced by.
        dropout: Share of tokens that are left out, drawn anew every time.

    Raises:
        DataError: A text cannot be tokenised.
    """

    in_memory = True

    def __init__(
        self,
        texts: Sequence[Any],
        targets: Array,
        text_input: TextInput,
        *,
        hidden_id: int = 0,
        dropout: float = 0.0,
    ) -> None:
        self._samples = [_loaded(text_input, text, row) for row, text in enumerate(texts)]
        self._targets = targets
        self._input = text_input
        self._hidden_id = hidden_id
        self._dropout = dropout

    @property
    def lengths(self) -> Array:
        """Tokens of each text: int64 (N,)."""
        return np.array([len(sample.arrays[INPUT_IDS]) for sample in self._samples], np.int64)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, draw: Draw) -> tuple[Sample, int]:
        sample = self._samples[draw.index]
        if self._dropout > 0:
            ids = sample.arrays[INPUT_IDS]
            hidden = np.random.default_rng(draw.seed).random(len(ids)) < self._dropout
            arrays = {**sample.arrays, INPUT_IDS: np.where(hidden, self._hidden_id, ids)}
            sample = Sample(arrays, sample.source, sample.geometry)
        return sample, int(self._targets[draw.index])

    def collate(self, items: list[Any]) -> TextBatch:
        """Texts padded to the longest of them, and their classes."""
        arrays = self._input.batch([sample for sample, _ in items], ())
        inputs = tuple(torch.from_numpy(arrays[name]) for name in self._input.inputs)
        return TextBatch(inputs, torch.tensor([target for _, target in items]))


def _loaded(text_input: TextInput, text: Any, row: int) -> Sample:
    try:
        return text_input.load(text)
    except InputError as error:
        raise DataError(f"Training text {row + 1}", got=error.got, expected=error.expected,
                        fix=error.fix) from error  # fmt: skip
