"""Spoken dates: unambiguous, divided by date, the same every time."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path

import pytest

from demos.make_dates import (
    FIRST,
    LAST,
    PARTS,
    divided_dates,
    make_set,
    number,
    ordinal,
    spoken,
    year_in_words,
)
from train.data.text_pairs import PairTables

COUNTS = (3000, 300, 300)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dates")
    make_set(out, COUNTS)
    return out


def test_set_can_be_trained_on(made: Path) -> None:
    tables = PairTables(made)
    for part, count in zip(PARTS, COUNTS, strict=True):
        pairs = tables.read(part)
        assert len(pairs.sources) == count
        assert all(FIRST <= dt.date.fromisoformat(target) <= LAST for target in pairs.targets)


def test_parts_share_no_date(made: Path) -> None:
    tables = PairTables(made)
    train, val, test = (set(tables.read(part).targets) for part in PARTS)
    assert not train & val and not train & test and not val & test
    parts = divided_dates(0)
    assert sum(map(len, parts)) == len(set().union(*parts)) == (LAST - FIRST).days + 1


def test_no_text_means_two_dates(made: Path) -> None:
    meanings: dict[str, set[str]] = {}
    for part in PARTS:
        pairs = PairTables(made).read(part)
        for source, target in zip(pairs.sources, pairs.targets, strict=True):
            meanings.setdefault(source.lower(), set()).add(target)
    assert not [text for text, dates in meanings.items() if len(dates) > 1]


def test_same_seed_gives_the_same_files(made: Path, tmp_path: Path) -> None:
    make_set(tmp_path / "again", COUNTS)
    make_set(tmp_path / "other", COUNTS, seed=1)
    for part in PARTS:
        again, other = ((tmp_path / folder / f"{part}.tsv").read_bytes() for folder in ("again", "other"))
        assert again == (made / f"{part}.tsv").read_bytes() != other


def test_a_date_is_said_in_many_ways() -> None:
    chooser = random.Random(0)
    said = {spoken(dt.date(2024, 5, 3), chooser).lower() for _ in range(400)}
    assert len(said) > 200


@pytest.mark.parametrize(
    ("year", "forms"),
    [
        (1900, {"1900", "nineteen hundred"}),
        (1905, {"1905", "nineteen oh five", "nineteen hundred five", "nineteen hundred and five"}),
        (1987, {"1987", "nineteen eighty-seven", "nineteen hundred eighty-seven",
                "nineteen hundred and eighty-seven"}),
        (2000, {"2000", "two thousand"}),
        (2005, {"2005", "two thousand five", "two thousand and five", "twenty oh five"}),
        (2024, {"2024", "twenty twenty-four", "two thousand twenty-four", "two thousand and twenty-four"}),
    ],
    ids=["1900", "1905", "1987", "2000", "2005", "2024"],
)  # fmt: skip
def test_years_in_words(year: int, forms: set[str]) -> None:
    chooser = random.Random(0)
    assert {year_in_words(year, chooser) for _ in range(200)} == forms


def test_numbers_and_ordinals() -> None:
    assert [number(value) for value in (0, 12, 20, 99)] == ["zero", "twelve", "twenty", "ninety-nine"]
    assert [ordinal(value) for value in (1, 5, 11, 12, 20, 22, 30, 31)] == [
        "first", "fifth", "eleventh", "twelfth", "twentieth", "twenty-second", "thirtieth", "thirty-first",
    ]  # fmt: skip
