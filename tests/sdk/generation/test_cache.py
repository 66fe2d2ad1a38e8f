"""The cache between the graphs: what it gives is what reading everything anew would give."""

from __future__ import annotations

import numpy as np
import pytest

from sdk.generation.cache import CachedReader
from tests.sdk.generation.remembering import Remembering, continuation

CONTEXT = 12


def _written(reader: CachedReader, texts: list[list[int]], count: int, room: int) -> list[list[int]]:
    logits = reader.read(texts, room)
    written: list[list[int]] = [[] for _ in texts]
    for _ in range(count):
        tokens = logits.argmax(axis=1).tolist()
        for row, token in zip(written, tokens, strict=True):
            row.append(token)
        logits = reader.step(tokens)
    return written


@pytest.mark.parametrize("room", [1, 3, 8], ids=["grows", "grows once", "room for all"])
def test_steps_give_what_reading_everything_anew_gives(room: int) -> None:
    reader = CachedReader(Remembering(64), 64)
    assert _written(reader, [[3, 1, 4]], 8, room) == [continuation([3, 1, 4], 8)]


def test_texts_of_several_lengths_share_a_batch() -> None:
    texts = [[5], [3, 1, 4, 1, 5], [9, 2]]
    found = _written(CachedReader(Remembering(64), 64), texts, 6, 6)
    assert found == [continuation(text, 6) for text in texts]


def test_full_context_forgets_the_older_half_of_a_text_and_reads_the_newer_anew() -> None:
    model = Remembering(CONTEXT)
    start = [1, 2, 3, 4]
    fits = CONTEXT - len(start)
    written = _written(CachedReader(model, CONTEXT), [start], fits + 3, 100)[0]
    whole = start + continuation(start, fits)
    assert written[:fits] == whole[len(start) :]
    # The token after the last place of the context comes from a call that still saw all of it.
    last = continuation(whole, 1)
    assert written[fits : fits + 1] == last
    half = whole[-CONTEXT // 2 :]
    assert written[fits + 1 :] == continuation(half + last, 2)
    assert [call for call in model.calls if call[0] == "main"][1:] == [("main", (1, CONTEXT // 2))]


def test_forgetting_leaves_the_other_texts_of_a_batch_alone() -> None:
    texts = [[1], [7, 8, 9, 10, 11, 12, 13]]
    found = _written(CachedReader(Remembering(CONTEXT), CONTEXT), texts, 8, 5)
    assert found[0] == continuation([1], 8)


@pytest.mark.parametrize(("room", "kept"), [(3, CONTEXT - 3), (100, CONTEXT // 2)])
def test_long_prompt_leaves_room_for_the_answer(room: int, kept: int) -> None:
    model = Remembering(CONTEXT)
    text = [1] * 50
    CachedReader(model, CONTEXT).read([text], room)
    assert model.calls == [("main", (1, kept))]


def test_cache_of_one_text_is_handed_over_without_a_copy() -> None:
    seen: list[bool] = []

    class Watching(Remembering):
        def __call__(self, name: str, arrays: object) -> dict[str, np.ndarray]:
            if name == "step":
                seen.append(arrays["keys"].flags.c_contiguous)  # type: ignore[index]
            return super().__call__(name, arrays)  # type: ignore[arg-type]

    _written(CachedReader(Watching(64), 64), [[1, 2, 3]], 3, 5)
    assert seen == [True] * 3
