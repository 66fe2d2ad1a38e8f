"""A package index without a network: the running environment's packages, put back into wheels."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(names: Iterable[str]) -> dict[str, Distribution]:
    """The named requirements' distributions and everything that they need, by canonical name."""
    found: dict[str, Distribution] = {}
    asked = [Requirement(name) for name in names]
    while asked:
        requirement = asked.pop()
        name = canonicalize_name(requirement.name)
        try:
            there = distribution(name)
        except PackageNotFoundError:
            raise AssertionError(f"the running environment lacks {requirement}") from None
        found[name] = there
        asked += [
            need for need in _needs(there, requirement.extras) if canonicalize_name(need.name) not in found
        ]
    return found


def make_wheels(folder: Path, distributions: Iterable[Distribution]) -> Path:
    """Write each distribution's wheel into `folder`, from the files that its installation recorded."""
    folder.mkdir()
    for there in distributions:
        name = there.name.replace("-", "_").replace(".", "_")
        with zipfile.ZipFile(folder / f"{name}-{there.version}-{_tag(there)}.whl", "w") as wheel:
            for file in there.files or ():
                path = Path(str(there.locate_file(file)))
                # What stands outside is made by the installer: scripts, and compiled files it did not record.
                if ".." in file.parts or "__pycache__" in file.parts or not path.is_file():
                    continue
                wheel.write(path, str(file))
    return folder


def _needs(there: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    for text in there.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _tag(there: Distribution) -> str:
    """What the wheel fits, as file names have it: each part of its tags, joined by dots."""
    text = there.read_text("WHEEL")
    assert text is not None, f"{there.name} was not installed from a wheel"
    tags = [line[5:].split("-") for line in text.splitlines() if line.startswith("Tag: ")]
    return "-".join(".".join(sorted(set(parts))) for parts in zip(*tags, strict=True))
