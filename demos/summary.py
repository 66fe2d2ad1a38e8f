"""What the quickstart shows in one table: a row per artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.gate import gain_in_words
from runtimes import entry_for
from sdk.artifact import Evidence, Metric, Parity, read_artifact
from sdk.bench import BenchRun
from sdk.bench.figures import Latency

TABLE_COLUMNS = 150
COLUMNS = ("file", "size", "accuracy", "agreement", "median ms", "against its fp32 parent", "status")


@dataclass(frozen=True)
class Row:
    """One artifact as it is reported.

    Attributes:
        file: Its name.
        engine: The runtime that opens it.
        size_bytes: Size of the whole file.
        accuracy: Measured through `Predictor`; None for what was not run.
        parity: Against the checkpoint; None for the checkpoint itself and for what was not run.
        latency: Of single predictions on this machine; None for what was not run.
        status: ``trained``, ``proved``, or ``built, not run``.
        precision: How many layers or weights have which precision, as the evidence says.
        facts: Other things the evidence says.
    """

    file: str
    engine: str
    size_bytes: int
    accuracy: Metric | None
    parity: Parity | None
    latency: Latency | None
    status: str
    precision: Mapping[str, Any]
    facts: Mapping[str, Any]

    @property
    def median_ms(self) -> float | None:
        """Median latency; None for what was not run."""
        return self.latency.p50.value_ms if self.latency else None


def summarise(paths: Sequence[Path], runs: Sequence[BenchRun]) -> list[Row]:
    """A row per artifact, in the order given.

    Args:
        paths: Artifacts.
        runs: Their benchmarks, in the same order.

    Raises:
        ArtifactError: A file is not what it says.
    """
    return [_row(path, run.latency) for path, run in zip(paths, runs, strict=True)]


def cells(row: Row, is_checkpoint: bool) -> tuple[str, ...]:
    """The row as text, one cell per column of `COLUMNS`."""
    return (
        row.file,
        size_text(row.size_bytes),
        percent(row.accuracy.value) if row.accuracy else "–",
        agreement_text(row.parity, is_checkpoint),
        "–" if row.median_ms is None else f"{row.median_ms:.3f}",
        gain_in_words(dict(row.facts)) or "–",
        row.status,
    )


def agreement_text(parity: Parity | None, is_checkpoint: bool) -> str:
    """Share of samples with the checkpoint's answer."""
    if is_checkpoint:
        return "reference"
    return percent(parity.agreement) if parity else "–"


def percent(fraction: float) -> str:
    """A fraction of 1 as a percentage, never rounded up to a whole 100."""
    text = f"{100 * fraction:.2f} %"
    return "99.99 %" if text == "100.00 %" and fraction < 1 else text


def size_text(size_bytes: int) -> str:
    """Bytes in a unit that people compare by."""
    return f"{size_bytes / 1e6:.2f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.1f} kB"


def print_table(rows: Sequence[Row]) -> None:
    """Print the one table to the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="One model, every runtime", title_justify="left", header_style="bold")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("file", "status") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*cells(row, row.status == "trained"))
    # A pipe has no width of its own; whole figures are worth a long line.
    console = Console(width=max(Console().width, TABLE_COLUMNS))
    console.print(table)


def _row(path: Path, latency: Latency | None) -> Row:
    artifact = read_artifact(path)
    evidence: Evidence = artifact.manifest.evidence
    return Row(
        file=path.name,
        engine=entry_for(path.suffix).name,
        size_bytes=artifact.size_bytes,
        accuracy=evidence.metrics[0] if evidence.metrics else None,
        parity=evidence.parity,
        latency=latency,
        status=evidence.status,
        precision=evidence.precision,
        facts=evidence.facts,
    )
