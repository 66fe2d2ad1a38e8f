"""Integer types by CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.quantization.integer_types import cpu_types, read_cpu_flags


@pytest.mark.parametrize(
    ("machine", "flags", "activation", "reduce_range"),
    [
        ("x86_64", {"avx2"}, "uint8", True),
        ("x86_64", {"avx2", "avx512_vnni"}, "uint8", False),
        ("AMD64", {"avx_vnni"}, "uint8", False),
        ("x86_64", set(), "uint8", True),
        ("aarch64", {"asimddp"}, "int8", False),
        ("arm64", set(), "int8", False),
    ],
)
def test_cpu_types_follow_the_cpu(machine: str, flags: set[str], activation: str, reduce_range: bool) -> None:
    types = cpu_types(machine, frozenset(flags))
    assert (types.activation, types.weight, types.reduce_range) == (activation, "int8", reduce_range)
    assert types.symmetric == (activation == "int8")


def test_read_cpu_flags_reads_the_first_cpu(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(
        "processor\t: 0\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nflags\t\t: other\n"
    )
    assert read_cpu_flags(tmp_path / "cpuinfo") == {"fpu", "avx2"}


def test_read_cpu_flags_is_empty_where_nothing_lists_them(tmp_path: Path) -> None:
    assert read_cpu_flags(tmp_path / "missing") == frozenset()
