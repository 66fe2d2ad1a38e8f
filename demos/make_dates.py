"""Make a set of spoken dates with their ISO dates, by rule: decoding whose every answer can be checked.

    python -m demos.make_dates --out dates/
    edgewright train seq2seq --data dates/ --source-units word --lower-case

Each line is how somebody might say a date, a tab, and the date: ``on Friday, the third of May twenty
twenty-four``, ``2024-05-03``. Training, validation and test share no date in any form, so that none can be
remembered. The same arguments give the same files.
"""

from __future__ import annotations

import argparse
import calendar
import datetime as dt
import random
from collections.abc import Sequence
from pathlib import Path

FIRST, LAST = dt.date(1900, 1, 1), dt.date(2099, 12, 31)
PARTS = ("train", "val", "test")
_SHARES = (0.8, 0.1, 0.1)
"""Of all dates."""

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth", "twenty": "twentieth", "thirty": "thirtieth",
}  # fmt: skip
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_SHORT = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sept", "Oct", "Nov", "Dec")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NAMED = {
    (1, 1): "New Year's Day", (2, 14): "Valentine's Day", (4, 1): "April Fools' Day", (10, 31): "Halloween",
    (12, 24): "Christmas Eve", (12, 25): "Christmas Day", (12, 31): "New Year's Eve",
}  # fmt: skip
_FEBRUARY = 2


def main() -> int:
    """Read the arguments and write the set."""
    parser = argparse.ArgumentParser(description="Make a set of spoken dates and ISO dates.")
    parser.add_argument("--out", type=Path, required=True, help="where the set goes")
    parser.add_argument(
        "--counts", type=int, nargs=3, default=(20_000, 1_000, 2_000), metavar=("TRAIN", "VAL", "TEST")
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    make_set(args.out, tuple(args.counts), seed=args.seed)
    return 0


def make_set(out: Path, counts: tuple[int, int, int], *, seed: int = 0) -> None:
    """Write ``out/{train,val,test}.tsv``.

    Args:
        out: Is made; files of the same name are replaced.
        counts: Lines for training, validation and test.
        seed: Of everything that is drawn.
    """
    out.mkdir(parents=True, exist_ok=True)
    for part, dates, count in zip(PARTS, divided_dates(seed), counts, strict=True):
        chooser = random.Random(f"{seed} {part}")
        drawn = [chooser.choice(dates) for _ in range(count)]
        lines = [f"{spoken(date, chooser)}\t{date.isoformat()}\n" for date in drawn]
        (out / f"{part}.tsv").write_text("".join(lines), encoding="utf-8")


def divided_dates(seed: int) -> list[list[dt.date]]:
    """All dates from `FIRST` to `LAST`, each in one of three parts."""
    days = (LAST - FIRST).days + 1
    dates = [FIRST + dt.timedelta(day) for day in range(days)]
    random.Random(f"{seed} parts").shuffle(dates)
    ends = [round(days * sum(_SHARES[: at + 1])) for at in range(len(_SHARES))]
    return [dates[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def spoken(date: dt.date, chooser: random.Random) -> str:
    """One of the many ways to say a date."""
    text = f"{_opening(date, chooser)}{_body(date, chooser)}"
    if chooser.random() < 0.3:
        text = text.replace("-", " ")
    if chooser.random() < 0.3:
        text = text.replace(",", "")
    case = chooser.random()
    return text.lower() if case < 0.5 else text.upper() if case < 0.55 else text


def year_in_words(year: int, chooser: random.Random) -> str:
    """Such as ``nineteen oh five``, ``nineteen hundred and five``, ``two thousand five``, or digits."""
    century, rest = divmod(year, 100)
    forms = [str(year)]
    if rest >= 10 or century % 10:
        forms.append(f"{number(century)} {number(rest) if rest >= 10 else _oh(rest)}")
    if century % 10:
        joiner = " and " if chooser.random() < 0.5 else " "
        forms.append(f"{number(century)} hundred" + (f"{joiner}{number(rest)}" if rest else ""))
    else:
        joiner = " and " if chooser.random() < 0.5 else " "
        forms.append("two thousand" + (f"{joiner}{number(rest)}" if rest else ""))
        if 0 < rest < 10:
            forms.append(f"twenty {_oh(rest)}")
    return chooser.choice(forms)


def number(value: int) -> str:
    """0 to 99 in words."""
    if value < len(_ONES):
        return _ONES[value]
    tens, ones = divmod(value, 10)
    return f"{_TENS[tens]}-{_ONES[ones]}" if ones else _TENS[tens]


def ordinal(value: int) -> str:
    """1 to 99 in words, such as ``twenty-first``."""
    head, dash, last = number(value).rpartition("-")
    return f"{head}{dash}{_ORDINALS.get(last, f'{last}th')}"


def _oh(rest: int) -> str:
    return f"oh {_ONES[rest]}" if rest else "hundred"


def _opening(date: dt.date, chooser: random.Random) -> str:
    opening = chooser.choice(("", "", "", "on ", "dated ", "it was "))
    if chooser.random() < 0.2:
        return f"{opening}{_WEEKDAYS[date.weekday()]}, "
    return opening


def _body(date: dt.date, chooser: random.Random) -> str:
    year = year_in_words(date.year, chooser)
    special = _special(date, chooser)
    if special is not None:
        return chooser.choice((f"{special}, {year}", f"{special} of the year {year}"))
    month = _month(date, chooser)
    nth, figure = _nth(date.day, chooser), chooser.choice((str(date.day), number(date.day)))
    return chooser.choice(
        (
            f"the {nth} of {month}, {year}",
            f"{nth} of {month} {year}",
            f"the {nth} day of {month} in the year {year}",
            f"{figure} {month} {year}",
            f"{month} {nth}, {year}",
            f"{month} the {nth}, {year}",
            f"{month} {figure}, {year}",
            f"in {year}, on the {nth} of {month}",
            f"{year}, {month} {nth}",
        )
    )


def _special(date: dt.date, chooser: random.Random) -> str | None:
    """A name for the day in place of month and number, for some days."""
    if chooser.random() < 0.5:
        return None
    last = date.day == calendar.monthrange(date.year, date.month)[1]
    # February's last day would have to be calculated.
    if last and date.month != _FEBRUARY and chooser.random() < 0.5:
        return f"the last day of {_MONTHS[date.month - 1]}"
    return _NAMED.get((date.month, date.day))


def _month(date: dt.date, chooser: random.Random) -> str:
    if chooser.random() < 0.75:
        return _MONTHS[date.month - 1]
    return _SHORT[date.month - 1] + chooser.choice(("", "."))


def _nth(day: int, chooser: random.Random) -> str:
    if chooser.random() < 0.6:
        return ordinal(day)
    teen = 10 <= day % 100 <= 20
    ending: Sequence[str] = ("th", "st", "nd", "rd")
    return f"{day}{'th' if teen or day % 10 > 3 else ending[day % 10]}"


if __name__ == "__main__":
    raise SystemExit(main())
