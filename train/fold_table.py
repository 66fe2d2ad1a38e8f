"""The folds of a cross-validation as a table for people."""

from __future__ import annotations

from rich.table import Table

from sdk.artifact.evidence import in_words
from train.cross_validation import CrossValidation, FoldResult, Spread


def fold_table(found: CrossValidation) -> Table:
    """A line for each fold, and one with mean ± standard deviation."""
    table = Table(header_style="bold", show_footer=False)
    for column in ("fold", "best epoch", *(_heading(spread) for spread in found.spreads)):
        table.add_column(column, justify="right")
    for one in found.folds:
        cells = [_cell(one, spread) for spread in found.spreads]
        table.add_row(str(one.fold), str(one.best_epoch), *cells)
    table.add_section()
    table.add_row("mean ± sd", "", *(spread.text for spread in found.spreads))
    return table


def _heading(spread: Spread) -> str:
    return f"{spread.name}, {'held out' if spread.split == 'val' else spread.split}"


def _cell(one: FoldResult, spread: Spread) -> str:
    if spread.split == "val":
        value = one.held_out[spread.name]
    else:
        value = next(metric.value for metric in one.proof if metric.name == spread.name)
    return in_words(value, spread.unit)
