"""The address that a demo listens on."""

from __future__ import annotations

import socket

from runtimes import UsageError
from runtimes.errors import first_line

PORTS = 65_536
"""Port numbers are below this; the system would take a larger one for its remainder."""


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        UsageError: The port is in use or not allowed, or the host is none of this machine's.
    """
    if not 0 <= port < PORTS:
        raise _refused(host, port, OSError("no port"))
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _refused(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise _refused(host, port, error) from error
    return listener


def _refused(host: str, port: int, error: Exception) -> UsageError:
    return UsageError(
        f"Address {host}:{port}",
        got=getattr(error, "strerror", None) or first_line(error),
        expected="an address of this machine with a free port",
        fix="Choose another --port, or 0 for any that is free.",
    )
