"""A comparison as text for a terminal, Markdown for a pull request, and JUnit for a build server."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from sdk.compare.comparison import Comparison
from sdk.compare.verdict import PASS, REGRESSION, UNDECIDED, Verdict

COMMENT_MARK = "<!-- edgewright compare -->"
"""First line of the Markdown, by which an earlier comment is found and replaced."""
_HEADLINES = {
    PASS: "No regression",
    REGRESSION: "Regression",
    UNDECIDED: "Could not decide",
}
_SIGNS = {PASS: "✅", REGRESSION: "❌", UNDECIDED: "⚠️"}


def headline(comparison: Comparison) -> str:
    """The whole comparison in one sentence."""
    names = f"{comparison.candidate} against {comparison.baseline}"
    worst = [v for v in comparison.verdicts if v.verdict == comparison.verdict]
    shown = ", ".join(f"{v.metric} {v.ratio}" for v in (worst or comparison.verdicts)[:3])
    return f"{_HEADLINES[comparison.verdict]}: {names}: {shown}"


def as_text(comparison: Comparison) -> str:
    """An aligned table with the headline below it."""
    rows: list[tuple[str, ...]] = [
        ("metric", "baseline", "candidate", "ratio (interval)", "limit", "verdict")
    ]
    rows += [_cells(verdict) for verdict in comparison.verdicts]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(
        [
            *(line.rstrip() for line in lines),
            "",
            f"{headline(comparison)}.",
            _how(comparison),
            *_note(comparison),
        ]
    )


def as_markdown(comparison: Comparison) -> str:
    """A comment: headline, table, and what the words mean."""
    lines = [
        COMMENT_MARK,
        f"### {_SIGNS[comparison.verdict]} {headline(comparison)}",
        "",
        "| metric | baseline | candidate | ratio (interval) | limit | verdict |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for verdict in comparison.verdicts:
        cells = list(_cells(verdict))
        cells[-1] = f"{_SIGNS[verdict.verdict]} {cells[-1]}"
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        _how(comparison),
        *_note(comparison),
        "",
        "<details><summary>What was measured</summary>",
        "",
    ]
    lines += [f"- **{verdict.metric}**: {verdict.what}" for verdict in comparison.verdicts]
    lines += [f"- **machine**: {comparison.machine}", "", "</details>", ""]
    return "\n".join(lines)


def as_junit(comparison: Comparison) -> str:
    """A test suite with a case per metric: a regression fails, what is undecided was skipped."""
    failures = sum(v.verdict == REGRESSION for v in comparison.verdicts)
    skipped = sum(v.verdict == UNDECIDED for v in comparison.verdicts)
    suite = ET.Element(
        "testsuite",
        name="edgewright compare",
        tests=str(len(comparison.verdicts)),
        failures=str(failures),
        errors="0",
        skipped=str(skipped),
        time=f"{comparison.seconds:.2f}",
    )
    for verdict in comparison.verdicts:
        case = ET.SubElement(
            suite, "testcase", classname=f"latency.{comparison.candidate}", name=verdict.metric
        )
        said = f"ratio {verdict.ratio}, limit {verdict.max_ratio:.2f}"
        if verdict.verdict == REGRESSION:
            ET.SubElement(case, "failure", message=said).text = headline(comparison)
        elif verdict.verdict == UNDECIDED:
            ET.SubElement(case, "skipped", message=f"undecided: {said}")
        ET.SubElement(case, "system-out").text = said
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _cells(verdict: Verdict) -> tuple[str, ...]:
    digits = 3 if verdict.unit == "ms" and verdict.baseline < 100 else 1
    digits = 2 if verdict.metric == "size" else digits
    return (
        verdict.metric,
        f"{verdict.baseline:.{digits}f} {verdict.unit}",
        f"{verdict.candidate:.{digits}f} {verdict.unit}",
        f"{verdict.ratio.value:.3f}" if verdict.ratio.low == verdict.ratio.high else str(verdict.ratio),
        f"{verdict.max_ratio:.2f}",
        verdict.verdict,
    )


def _how(comparison: Comparison) -> str:
    how = (
        "fresh processes of both, taking turns"
        if comparison.interleaved
        else "fresh processes, against a record"
    )
    return f"{comparison.rounds} rounds of {how}, in {comparison.seconds:.0f} s."


def _note(comparison: Comparison) -> list[str]:
    return [comparison.note] if comparison.note else []
