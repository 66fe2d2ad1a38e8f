"""The one table: honest rounding, nothing cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from demos.summary import cells, percent, print_table, size_text, summarise
from sdk.artifact import read_artifact
from sdk.bench.contender import not_run
from tests.demos.findings import make_findings


@pytest.mark.parametrize(
    ("fraction", "text"), [(1.0, "100.00 %"), (0.99999, "99.99 %"), (0.9, "90.00 %"), (0.0, "0.00 %")]
)
def test_percent_never_rounds_up_to_all(fraction: float, text: str) -> None:
    assert percent(fraction) == text


@pytest.mark.parametrize(
    ("size", "text"), [(4_100, "4.1 kB"), (1_250_000, "1.25 MB"), (999_999, "1000.0 kB")]
)
def test_size_text_uses_decimal_units(size: int, text: str) -> None:
    assert size_text(size) == text


def test_cells_show_a_dash_for_what_was_not_run() -> None:
    checkpoint, exported, engine = make_findings().rows

    assert cells(checkpoint, True) == (
        "light.safetensors",
        "4.1 kB",
        "75.00 %",
        "reference",
        "0.500",
        "–",
        "trained",
    )
    assert cells(exported, False)[3:] == ("100.00 %", "0.500", "–", "proved")
    assert cells(engine, False)[2:] == ("–", "–", "–", "–", "built, not run")


def test_table_is_whole_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(make_findings().rows)

    printed = capsys.readouterr().out
    assert "light.safetensors" in printed
    assert "built, not run" in printed
    assert "…" not in printed


def test_summarise_reads_the_artifact(light_artifact: Path) -> None:
    run = not_run(read_artifact(light_artifact), "single-stream", "a test")

    (row,) = summarise([light_artifact], [run])

    assert (row.file, row.engine, row.status) == ("light.onnx", "onnxruntime", "proved")
    assert row.size_bytes == light_artifact.stat().st_size
    assert row.latency is None
    assert row.median_ms is None
