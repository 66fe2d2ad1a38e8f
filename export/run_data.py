"""Where the data that a checkpoint was trained on lies."""

from __future__ import annotations

import json
from pathlib import Path

from runtimes import DataError


def data_of_run(checkpoint: Path) -> Path:
    """Where the data of the run that wrote a checkpoint lies, from the ``run.json`` beside it.

    Raises:
        DataError: There is none.
    """
    record = checkpoint.parent / "run.json"
    try:
        return Path(json.loads(record.read_text())["data"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"Checkpoint {checkpoint.name!r}",
            got="no run.json beside it that names its data",
            expected="real data to prove the artifacts on",
            fix="Say where it lies: --data PATH.",
        ) from error
