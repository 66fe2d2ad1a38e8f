"""Where a study is kept, so that several processes can work on it and any of them may be killed.

A study lies in an SQLite file, in a journal (a file that is only appended to), or in a database server. Each
holds a trial's claim, its figures and its end in transactions of their own, so that no process sees half of
one, and two never get the same trial.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from runtimes import UsageError
from runtimes.errors import first_line

if TYPE_CHECKING:
    import optuna

JOURNALS = (".journal", ".jsonl", ".log")
"""A file with one of these suffixes is a journal, and any other an SQLite file."""
_SQLITE = "sqlite:///"
_WAIT_FOR_OTHERS_S = 120
"""How long a process waits while others write. Each takes milliseconds."""


def trial_seed(seed: int, number: int) -> int:
    """An independent seed for what one trial draws: a function of the study's seed and the trial's number."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def open_study(storage: str | Path, name: str, **settings: Any) -> optuna.Study:
    """The study of that name, which is made where there is none.

    Args:
        storage: A file, or the URL of a database that SQLAlchemy knows.
        name: Of the study.
        **settings: Of `optuna.create_study`.

    Raises:
        UsageError: The storage cannot be opened, or holds something else.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = _file_of(storage)
    shown = f"Storage {file.name!r}" if file is not None else "Option --storage"
    if file is not None and not file.parent.is_dir():
        raise UsageError(shown, got=f"no folder {str(file.parent)!r}", expected="a file in a folder",
                         fix="Make the folder, or correct the path.")  # fmt: skip
    try:
        # Two processes that make the same file at once would each make its tables.
        with _alone(file):
            return optuna.create_study(
                storage=_backend(storage, file), study_name=name, load_if_exists=True, **settings
            )
    except UsageError:
        raise
    except Exception as error:  # SQLAlchemy, alembic and the databases' drivers have a tree of errors each
        # A URL may hold a password, and so may what its driver says of it: neither is repeated.
        unread = f"a file that is no study ({first_line(error)})"
        raise UsageError(
            shown,
            got=unread if file is not None else f"no study could be opened there ({type(error).__name__})",
            expected="an SQLite file, a journal, or a database's URL such as postgresql://host/name",
            fix="Move the file away, or name another." if file is not None else
            "Correct the URL, or install the database's driver.",
        ) from error  # fmt: skip


def set_identity(study: optuna.Study, identity: dict[str, Any], fix: str) -> None:
    """Say what a study belongs to, or check that it is the same.

    Args:
        study: New, or with the identity of an earlier process.
        identity: JSON data by name.
        fix: What to do where it is another.

    Raises:
        UsageError: It belongs to something else.
    """
    if _IDENTITY not in study.user_attrs:
        study.set_user_attr(_IDENTITY, identity)
    # Read again: of two processes that were first, one has written last.
    there = study.user_attrs[_IDENTITY]
    unlike = sorted(name for name in {*identity, *there} if there.get(name) != identity.get(name))
    if unlike:
        raise UsageError(
            f"Study {study.study_name!r}",
            got=f"one with another {', '.join(unlike)}",
            expected="the same search, to go on with it",
            fix=fix,
        )


_IDENTITY = "identity"


class _KernelLock:
    """A journal's lock that the system takes back when a process dies, however it dies.

    Optuna's own are files that a killed process leaves behind, and that the others wait for half a minute.

    Args:
        path: Of the journal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f".{path.name}.lock")
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Wait for it."""
        file = self._path.open("ab")
        fcntl.flock(file, fcntl.LOCK_EX)
        # Not before: until now another thread may hold it.
        self._file = file
        return True

    def release(self) -> None:
        """Let the next one have it."""
        assert self._file is not None
        self._file.close()


@contextmanager
def _alone(file: Path | None) -> Iterator[None]:
    if file is None:
        yield
        return
    lock = _KernelLock(file.with_name(f"{file.name}.open"))
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _file_of(storage: str | Path) -> Path | None:
    """The file that a storage is; None for a server."""
    text = str(storage)
    if text.startswith(_SQLITE):
        return Path(text.removeprefix(_SQLITE))
    return None if "://" in text else Path(text)


def _backend(storage: str | Path, file: Path | None) -> Any:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if file is None:
        return RDBStorage(str(storage), engine_kwargs={"pool_pre_ping": True})
    if file.suffix in JOURNALS:
        return JournalStorage(JournalFileBackend(str(file), lock_obj=_KernelLock(file)))  # type: ignore[arg-type]
    # The address names the dialect; connections are made by `_connect`.
    opened = RDBStorage(_SQLITE, engine_kwargs={"creator": partial(_connect, file), "poolclass": _pool()})
    _claim_before_reading(opened.engine)
    return opened


def _connect(file: Path) -> sqlite3.Connection:
    """A connection on which transactions begin where they are told to, and nowhere else.

    With a write-ahead log a commit need not wait for the disk: what a killed process has committed is there
    all the same.
    """
    connection = sqlite3.connect(
        file, timeout=_WAIT_FOR_OTHERS_S, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _pool() -> Any:
    from sqlalchemy.pool import QueuePool

    return QueuePool


def _claim_before_reading(engine: Any) -> None:
    """Let every transaction on an SQLite file begin by taking the write lock.

    Python's driver begins one at the first write only: two processes then read that a trial waits before
    either says that it has taken it, and both do.
    """
    from sqlalchemy import event

    def immediate(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "begin", immediate)
