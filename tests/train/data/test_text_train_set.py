"""Training texts: batches, hidden words, and the vocabulary behind them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from runtimes import DataError
from sdk.inputs.tokenizer import open_tokenizer, pack_tokenizer
from tests.texts import reviews, text_input
from train.data.text_train_set import TextTrainSet
from train.data.vocabulary import id_of, learn_vocabulary, tokens_in
from train.sampling import Draw, LengthSampler

TEXTS = ("good film", "bad", "a very good film")


def test_batches_are_padded_to_their_longest() -> None:
    texts = TextTrainSet(TEXTS, np.array([1, 0, 1]), text_input())
    assert texts.lengths.tolist() == [2, 1, 4]
    batch = texts.collate([texts[Draw(0, 7)], texts[Draw(1, 7)]])
    ids, mask = batch.inputs
    assert ids.tolist() == [[4, 6], [5, 0]]
    assert mask.tolist() == [[1, 1], [1, 0]]
    assert torch.equal(batch.targets, torch.tensor([1, 0]))


def test_words_are_hidden_by_the_seed_of_the_draw() -> None:
    texts = TextTrainSet(["good " * 8], np.array([1]), text_input(), hidden_id=1, dropout=0.5)
    ids = [texts[Draw(0, seed)][0].arrays["input_ids"].tolist() for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]
    assert set(ids[0]) == {1, 4}


def test_a_text_that_cannot_be_read_is_named_by_its_number() -> None:
    with pytest.raises(DataError, match="Training text 2: got nothing but blanks"):
        TextTrainSet(["good", " "], np.array([0, 1]), text_input())


def test_batches_hold_texts_of_about_one_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    sampler = LengthSampler(lengths, seed=3, batch_size=20)
    order = [draw.index for draw in sampler]
    assert sorted(order) == list(range(1000))
    spread = [np.ptp(lengths[order[start : start + 20]]) for start in range(0, 1000, 20)]
    assert np.mean(spread) < 5  # batches of random texts spread over about 90
    longest_first = lengths[order].reshape(-1, 20).max(axis=1)
    assert list(longest_first) != sorted(longest_first)


def test_batches_of_an_epoch_depend_on_seed_and_epoch_alone() -> None:
    lengths = np.arange(50) % 7

    def order(seed: int, epoch: int) -> list[Draw]:
        sampler = LengthSampler(lengths, seed, batch_size=8)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_a_short_batch_comes_last() -> None:
    sampler = LengthSampler(np.array([1, 1, 1, 1, 9]), seed=0, batch_size=2)
    assert lengths_of(sampler)[-1] == 9


def lengths_of(sampler: LengthSampler) -> list[int]:
    return [[1, 1, 1, 1, 9][draw.index] for draw in sampler]


def test_a_vocabulary_has_the_commonest_words_and_is_the_same_each_time() -> None:
    texts = [text for _, text in reviews(60)]
    vocabulary = learn_vocabulary(texts, 12, cased=False)
    assert vocabulary == learn_vocabulary(texts, 12, cased=False)
    assert tokens_in(vocabulary) == 12
    assert (id_of(vocabulary, "[PAD]"), id_of(vocabulary, "[MASK]", "[UNK]")) == (0, 1)


@pytest.mark.parametrize(("cased", "tokens"), [(False, 1), (True, 2)], ids=["uncased", "cased"])
def test_case_and_accents_are_told_apart_where_asked(cased: bool, tokens: int) -> None:
    vocabulary = learn_vocabulary(["Café café", "cafe Cafe", "Café cafe"], 20, cased=cased)
    tokenizer = open_tokenizer(pack_tokenizer(vocabulary))
    assert len(set(tokenizer.encode("Café cafe").ids)) == tokens


def test_punctuation_is_a_token_of_its_own() -> None:
    vocabulary = learn_vocabulary(["fine! fine!", "fine"], 20, cased=False)
    assert open_tokenizer(pack_tokenizer(vocabulary)).encode("fine!").tokens == ["fine", "!"]
