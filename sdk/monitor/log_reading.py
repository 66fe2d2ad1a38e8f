"""Reading a prediction log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdk.monitor.log_tables import AB, MAIN, LogTables

_READ = ("at", "version", "route", "request", "item", "latency_ms", "features")


@dataclass(frozen=True)
class Logged:
    """One row of the log."""

    at: float
    version: str
    route: str
    request: str
    item: int
    latency_ms: float
    features: dict[str, float | str]


def read_log(
    tables: LogTables,
    model: str | None = None,
    version: str | None = None,
    *,
    last: int | None = None,
    since: float | None = None,
    until: float | None = None,
    routes: Sequence[str] = (MAIN, AB),
) -> list[Logged]:
    """Rows of a log, oldest first.

    Args:
        tables: Of the log.
        model: Of this model; None for all.
        version: Of this version; None for all.
        last: Only the newest so many.
        since: Not older than this, seconds since 1970.
        until: Older than this.
        routes: Of these.
    """
    import sqlalchemy as sa

    table = tables.predictions
    columns = [table.c[name] for name in _READ]
    query = sa.select(*columns).where(table.c.route.in_(routes)).order_by(table.c.id.desc())
    for column, value in ((table.c.model, model), (table.c.version, version)):
        query = query if value is None else query.where(column == value)
    if since is not None:
        query = query.where(table.c.at >= since)
    if until is not None:
        query = query.where(table.c.at < until)
    if last is not None:
        query = query.limit(last)
    with tables.engine.connect() as connection:
        found = [_logged(row) for row in connection.execute(query).mappings()]
    return found[::-1]


def _logged(row: Mapping[Any, Any]) -> Logged:
    told = {str(name): value for name, value in row.items()}
    return Logged(**{**told, "features": json.loads(told["features"])})


def models_in(tables: LogTables) -> Iterator[tuple[str, str, int]]:
    """Each (model, version) of a log with how many rows it has."""
    import sqlalchemy as sa

    table = tables.predictions
    query = sa.select(table.c.model, table.c.version, sa.func.count()).group_by(
        table.c.model, table.c.version
    )
    with tables.engine.connect() as connection:
        yield from ((model, version, count) for model, version, count in connection.execute(query))
