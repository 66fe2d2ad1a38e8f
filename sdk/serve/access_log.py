"""A server's log: a JSON object a line on stderr, with nothing of what requests and answers hold."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone

from sdk.serve.exchanges import Exchange

_LOG = logging.getLogger(__name__)
_FAILED = 500


class AccessLog:
    """An observer of `ExchangeMiddleware` that logs requests.

    Args:
        log_all: All of them; else those alone that failed inside.
    """

    def __init__(self, *, log_all: bool) -> None:
        self._log_all = log_all

    def __call__(self, exchange: Exchange) -> None:
        """Log it, or not."""
        if exchange.status == _FAILED or self._log_all:
            level = logging.ERROR if exchange.status == _FAILED else logging.INFO
            _LOG.log(level, "request", extra={"fields": _fields(exchange)})


def _fields(exchange: Exchange) -> dict[str, object]:
    return {
        "id": exchange.identity,
        "method": exchange.method,
        "path": exchange.path,
        "model": exchange.model,
        "version": exchange.version,
        "status": exchange.status,
        "ms": round(1000 * exchange.seconds, 3),
        "bytes_in": exchange.bytes_in,
        "bytes_out": exchange.bytes_out,
    }


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, what happened, and the fields it happened with."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_to_stderr() -> None:
    """Send what this process logs to stderr, a JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("sdk.serve").setLevel(logging.INFO)
    logging.captureWarnings(True)
    for noisy in ("python_multipart", "py.warnings"):  # they say what clients do wrong
        logging.getLogger(noisy).setLevel(logging.ERROR)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # and what `Gate` has said already
