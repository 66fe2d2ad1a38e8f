"""Installed packages and the ranges that were tested, from metadata alone."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires, version

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?$")


def installed(*names: str) -> str | None:
    """Version of the first of these distributions that is installed; None: none of them is."""
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def supported_range(name: str, extra: str | None) -> str:
    """The versions of a distribution that Edgewright asks for, such as ``>=1.23,<1.32``; empty: any.

    Args:
        name: Of the distribution.
        extra: The extra that asks for it; None for the base dependencies.
    """
    try:
        lines = requires("edgewright") or ()
    except PackageNotFoundError:  # run from its sources, not installed
        return ""
    for line in lines:
        found = _REQUIREMENT.match(line)
        if not found or _canonical(found[1]) != _canonical(name):
            continue
        named = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", found[3] or "")
        if (named[1] if named else None) == extra:
            return ",".join(sorted(part.strip() for part in found[2].split(",")))
    return ""


def within(found: str, allowed: str) -> bool:
    """Whether a version is in a range of ``>=``, ``>``, ``<``, ``<=``, ``==`` and ``!=`` terms."""
    have = release(found)
    for term in filter(None, (part.strip() for part in allowed.split(","))):
        match = re.match(r"(>=|<=|==|!=|>|<)\s*(.+)", term)
        if not match:
            continue
        want = release(match[2])
        width = max(len(have), len(want))
        a, b = have + (0,) * (width - len(have)), want + (0,) * (width - len(want))
        if not {">=": a >= b, "<=": a <= b, "==": a == b, "!=": a != b, ">": a > b, "<": a < b}[match[1]]:
            return False
    return True


def release(text: str) -> tuple[int, ...]:
    """The numbers that a version starts with: ``10.3.0.30-1+cuda12.5`` gives (10, 3, 0, 30)."""
    found = re.match(r"\d+(?:\.\d+)*", text.strip())
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
