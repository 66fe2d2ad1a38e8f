"""Noise as input: seeds that mean the same everywhere, and numbers taken as they are."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import InputError, SpecError, UsageError
from sdk.inputs.noise import NOISE, SEEDS, STRIDE, NoiseInput, draw_normal

KIND = NoiseInput(5)
# The logarithm and the cosine of another mathematics library may differ in their last bit of 53.
LAST_BIT = 1e-6


def _noise(item: Any) -> np.ndarray[Any, Any]:
    return KIND.load(item).arrays[NOISE]


def test_seed_gives_numbers_that_are_written_down() -> None:
    expected = np.array([1.1186632, -0.8430660, 0.2682506, 1.7080561, 0.5919670], np.float32)
    np.testing.assert_allclose(draw_normal(7, 5), expected, atol=LAST_BIT)


def test_more_numbers_of_a_seed_begin_with_the_same() -> None:
    np.testing.assert_array_equal(draw_normal(3, 9)[:4], draw_normal(3, 4))


def test_numbers_are_normal() -> None:
    drawn = draw_normal(1, 200_000)
    # Standard errors at this count are 0.002; four of them.
    assert drawn.mean() == pytest.approx(0.0, abs=0.01)
    assert drawn.std() == pytest.approx(1.0, abs=0.01)
    assert (np.abs(drawn) > 1.96).mean() == pytest.approx(0.05, abs=0.003)
    assert np.corrcoef(drawn[0::2], drawn[1::2])[0, 1] == pytest.approx(0.0, abs=0.015)


@pytest.mark.parametrize(
    "item", [7, np.int64(7), "7", b"7", Path("7")], ids=["int", "numpy", "str", "bytes", "path"]
)
def test_seed_in_any_form_is_the_same(item: Any) -> None:
    np.testing.assert_array_equal(_noise(item), draw_normal(7, 5))


def test_file_of_digits_is_a_seed(tmp_path: Path) -> None:
    (tmp_path / "item").write_bytes(b"7\n")
    np.testing.assert_array_equal(_noise(tmp_path / "item"), draw_normal(7, 5))


def test_numbers_are_taken_as_they_are(tmp_path: Path) -> None:
    numbers = np.linspace(-1, 1, 5)
    np.save(tmp_path / "noise.npy", numbers)
    for item in (numbers, tmp_path / "noise.npy", (tmp_path / "noise.npy").read_bytes()):
        found = _noise(item)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, numbers.astype(np.float32))


@pytest.mark.parametrize("item", [12, np.arange(5, dtype=np.float32)], ids=["seed", "numbers"])
def test_encoded_source_loads_to_the_same(item: Any) -> None:
    sample = KIND.load(item)
    np.testing.assert_array_equal(_noise(KIND.encode(sample.source)), sample.arrays[NOISE])


def test_batch_stacks_items() -> None:
    batch = KIND.batch([KIND.load(1), KIND.load(2)], ())
    assert batch[NOISE].shape == (2, 5)
    np.testing.assert_array_equal(batch[NOISE][1], draw_normal(2, 5))


def test_draws_of_two_seeds_never_meet_and_do_not_depend_on_the_count() -> None:
    assert KIND.draws(3, seed=5) == [5, 5 + STRIDE, 5 + 2 * STRIDE]
    assert KIND.draws(5, seed=5)[:3] == KIND.draws(3, seed=5)
    assert not set(KIND.draws(50, seed=1)) & set(KIND.draws(50, seed=2))


def test_truncation_leaves_nothing_beyond() -> None:
    drawn = np.stack(KIND.draws(400, seed=0, truncation=0.5))
    assert drawn.shape == (400, 5)
    assert np.abs(drawn).max() <= 0.5
    # Uniform would be 0.289, untruncated 1.
    assert 0.25 < drawn.std() < 0.32


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (-1, "got -1, expected a seed"),
        (SEEDS, "expected a seed from 0"),
        (True, "got a bool"),
        (1.5, "got a float"),
        ("seven", "got 'seven'"),
        (b"", "expected a seed"),
        (np.zeros(4, np.float32), r"got float32 \(4,\), expected floats \(5,\)"),
        (np.zeros(5, np.int64), "got int64"),
        (np.full(5, np.nan, np.float32), "got NaN or infinity"),
        ("missing.npy", "got 'missing.npy'"),
        (b"\x93NUMPY broken", "no whole .npy array"),
    ],
    ids=["negative", "large", "bool", "float", "word", "empty", "short", "ints", "nan", "missing", "broken"],
)
def test_load_refuses_what_is_no_noise(item: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        KIND.load(item)


def test_load_refuses_several_arrays() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(5))
    with pytest.raises(InputError, match="expected a seed"):
        KIND.load(buffer.getvalue())


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (0, {}, "'n': got 0"),
        (True, {}, "'n': got True"),
        (1, {"seed": -1}, "'seed': got -1"),
        (1, {"seed": STRIDE}, "'seed': got"),
        (1, {"truncation": 0.01}, "'truncation': got 0.01"),
        (1, {"truncation": float("nan")}, "'truncation': got nan"),
    ],
    ids=["none", "bool", "negative", "large", "narrow", "nan"],
)
def test_draws_refuse_what_makes_no_sense(count: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        KIND.draws(count, **options)


def test_spec_refuses_no_dimensions() -> None:
    with pytest.raises(SpecError, match="at least 1"):
        NoiseInput(0)
