"""Metrics of several replicas: each writes into files of its own in one folder, and any of them adds all up.

`prometheus_client` has the files and the sums; here is what replicas need besides as they come and go.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Variable that names the folder; `prometheus_client` reads it once, when it is imported."""
_LOCK, _ENDED = "lock", "ended"


@contextmanager
def shared_metrics() -> Iterator[Mapping[str, str]]:
    """A folder in which replicas add up their metrics; gives the variables to start them with."""
    with tempfile.TemporaryDirectory(prefix="edgewright-metrics-") as folder:
        yield {SHARED_FOLDER: folder}


@contextmanager
def summed(folder: Path) -> Iterator[CollectorRegistry]:
    """The metrics of all replicas, to be read inside of the with-block."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    with _locked(folder, alone=False):
        yield registry


def forget_replica(folder: Path, process_id: int) -> None:
    """Take the state of a replica that ended out of the sums; what it counted stays in them.

    Counts of all that ended are kept in one file, so that replicas that end again and again fill no disk.
    """
    with _locked(folder, alone=True):
        for path in sorted(folder.glob(f"*_{process_id}.db")):
            kind = path.name.removesuffix(f"_{process_id}.db")
            if not kind.startswith("gauge_live"):
                _add(path, folder / f"{kind}_{_ENDED}.db")
            path.unlink()


def _add(path: Path, kept: Path) -> None:
    """Add one file's counts to those that are kept; of gauges, keep the newest value."""
    from prometheus_client.mmap_dict import MmapedDict

    sums = MmapedDict(str(kept))
    try:
        for key, value, at, _ in MmapedDict.read_all_values_from_file(str(path)):
            before, before_at = sums.read_value(key)
            if not path.name.startswith("gauge"):
                sums.write_value(key, before + value, 0.0)
            elif at > before_at:
                sums.write_value(key, value, at)
    finally:
        sums.close()


@contextmanager
def _locked(folder: Path, *, alone: bool) -> Iterator[None]:
    """Read while nobody moves counts, or move them while nobody reads: else they would be there twice."""
    import fcntl

    with (folder / _LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
