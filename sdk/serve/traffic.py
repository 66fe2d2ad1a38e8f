"""What all connections of a server share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sdk.serve.options import Connections

REASONS = {
    400: "malformed",
    408: "slow_request",
    413: "too_large",
    429: "bytes_held",
    431: "headers",
    503: "connections",
}
"""What a metric calls the statuses of requests and connections that no route sees."""


@dataclass
class Traffic:
    """What all connections of a process share.

    Attributes:
        max_body_bytes: Largest body of a request.
        bounds: What clients may take.
        on_refused: Told why a request or a connection is refused before any route sees it: one of `REASONS`.
        draining: Answers now tell clients to close their connections.
        held_bytes: Of bodies that have been received and whose requests are not answered.
    """

    max_body_bytes: int
    bounds: Connections
    on_refused: Callable[[str], None] = lambda _: None
    draining: bool = field(default=False, init=False)
    held_bytes: int = field(default=0, init=False)
