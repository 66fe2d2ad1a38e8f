"""Device files of machines that are not here, as they were published, laid out as a root.

`devices/NAME.json` has a text for each file and says where it is from: ``listed`` in one of `sources`, or
``completed`` by hand, and then why. Nothing else is known of these machines: no test here ran on one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("devices")
DEVICES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def read_device(name: str) -> dict[str, Any]:
    """The whole record of one device."""
    record: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return record


def lay_out(name: str, root: Path) -> Path:
    """Write one device's files below `root`, which is returned."""
    for path, file in read_device(name)["files"].items():
        put(root, path, file["text"])
    return root


def put(root: Path, name: str, text: object) -> None:
    """Write one file below `root`."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(text))
