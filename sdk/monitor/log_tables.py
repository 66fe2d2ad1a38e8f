"""The prediction log's tables, in any database that SQLAlchemy speaks to; a SQLite file by default."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runtimes import EngineMissingError, UsageError
from runtimes.errors import first_line

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData, Table

MAIN, AB, SHADOW = "main", "ab", "shadow"
"""Routes: the model itself, a version that answers a share of clients, one whose answers nobody sees."""
_ATTEMPTS, _PAUSE_S = 5, 0.1
BUSY_S = 10.0
"""Seconds that one process waits for another one's writing to a SQLite file."""


class LogTables(NamedTuple):
    """The tables, and what connects to them.

    Attributes:
        engine: SQLAlchemy's.
        predictions: A row per item that was answered.
        feedback: A row per item of which somebody said later what was true.
        alarms: A row per version that is watched: whether its alarm was raised.
    """

    engine: Engine
    predictions: Table
    feedback: Table
    alarms: Table


def log_url(where: str) -> str:
    """An SQLAlchemy URL: the given one, or that of a SQLite file."""
    return where if "://" in where else f"sqlite:///{Path(where).absolute()}"


def open_tables(where: str, *, create: bool) -> LogTables:
    """Connect to a log.

    Args:
        where: A file, or an SQLAlchemy URL such as ``postgresql+psycopg://user@host/database``.
        create: Make what is not there; else a file or a table that is missing is an error.

    Raises:
        EngineMissingError: SQLAlchemy is not installed, or the database's driver.
        UsageError: The database cannot be opened, or holds no log.
    """
    url = log_url(where)
    path = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None
    if not create and path is not None and not path.is_file():
        raise UsageError("Log", got=f"no file {path.name!r}", expected="one that `serve --log` wrote",
                         fix="Check the path.")  # fmt: skip
    try:
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
    except ImportError as error:
        raise _missing("sqlalchemy", error) from error
    try:
        tables = _tables(url, sqlite=path is not None)
        _prepare(tables, create=create)
    except (ArgumentError, NoSuchModuleError, SQLAlchemyError, ImportError, OSError) as error:
        if isinstance(error, ImportError):
            raise _missing("the database's driver", error) from error
        shown = first_line(getattr(error, "orig", None) or error)
        raise UsageError(
            "Log",
            got=f"a database that cannot be opened ({shown})",
            expected="a file, or an SQLAlchemy URL",
            fix="Check it, and its rights.",
        ) from error
    return tables


def _tables(url: str, *, sqlite: bool) -> LogTables:
    import sqlalchemy as sa

    options: dict[str, Any] = {"connect_args": {"timeout": BUSY_S}} if sqlite else {"pool_pre_ping": True}
    engine, data = sa.create_engine(url, **options), sa.MetaData()
    row = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    name, long = sa.String(200), sa.Text()
    predictions = sa.Table(
        "edgewright_predictions",
        data,
        sa.Column("id", row, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Double, nullable=False, doc="seconds since 1970"),
        sa.Column("model", name, nullable=False),
        sa.Column("version", name, nullable=False),
        sa.Column("route", sa.String(16), nullable=False),
        sa.Column("request", name, nullable=False),
        sa.Column("item", sa.Integer, nullable=False),
        sa.Column("latency_ms", sa.Double, nullable=False),
        sa.Column("features", long, nullable=False, doc="JSON: numbers and words by name"),
        sa.Index("edgewright_predictions_of", "model", "version", "id"),
        sa.Index("edgewright_predictions_request", "request"),
        sa.Index("edgewright_predictions_at", "at"),
    )
    feedback, alarms = _other_tables(data)
    return LogTables(engine, predictions, feedback, alarms)


def _other_tables(data: MetaData) -> tuple[Table, Table]:
    import sqlalchemy as sa

    name = sa.String(200)
    feedback = sa.Table(
        "edgewright_feedback",
        data,
        sa.Column("model", name, primary_key=True),
        sa.Column("request", name, primary_key=True),
        sa.Column("item", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("correct", sa.Boolean),
        sa.Column("label", name),
    )
    alarms = sa.Table(
        "edgewright_alarms",
        data,
        sa.Column("subject", name, primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
    )
    return feedback, alarms


def _prepare(tables: LogTables, *, create: bool) -> None:
    import sqlalchemy as sa

    engine = tables.engine
    if create:
        for left in reversed(range(_ATTEMPTS)):
            try:
                _create(tables)
            except sa.exc.DBAPIError:  # another replica may be making them at this moment
                if not left:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return
    elif not sa.inspect(engine).has_table(tables.predictions.name):
        raise UsageError("Log", got="a database without predictions", expected="one that `serve --log` wrote",
                         fix="Check which one it is.")  # fmt: skip


def _create(tables: LogTables) -> None:
    import sqlalchemy as sa

    if tables.engine.dialect.name == "sqlite":
        with tables.engine.connect() as connection:  # readers and the writer do not wait for each other
            connection.execute(sa.text("PRAGMA journal_mode=WAL"))
    tables.predictions.metadata.create_all(tables.engine)


def _missing(what: str, error: ImportError) -> EngineMissingError:
    return EngineMissingError(
        "Prediction log",
        got=f"no usable {what} ({first_line(error)})",
        expected="it, to write or to read a log",
        fix="Run: pip install 'edgewright[serve]', and the driver of your database.",
    )
