"""Who may ask, and how it is kept secret: API keys and certificates."""

from __future__ import annotations

import hashlib
import hmac
import os
import ssl
from collections.abc import Iterable
from pathlib import Path

from runtimes import UsageError
from runtimes.errors import first_line
from sdk.serve.options import ServeOptions, Tls

KEYS_VARIABLE = "EDGEWRIGHT_API_KEYS"
"""Keys, separated by commas, where no file of them is named."""
_FEWEST_CHARACTERS = 16
_BEARER = b"bearer "


class Keys:
    """The keys that open a server. Only their digests are kept, and compared in constant time.

    Args:
        keys: None of them opens it to all.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def __len__(self) -> int:
        return len(self._digests)

    def replace(self, keys: Keys) -> None:
        """Take those of another instead."""
        self._digests = keys._digests

    def open_for(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a request's headers bring a key: ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``.

        Args:
            headers: Names in lower case, and values.
        """
        if not self._digests:
            return True
        for name, value in headers:
            if name == b"x-api-key":
                given = value
            elif name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
                given = value[len(_BEARER) :].strip()
            else:
                continue
            digest = hashlib.sha256(given).digest()
            # All are compared, so that the time tells nothing of which.
            if any([hmac.compare_digest(digest, known) for known in self._digests]):  # noqa: C419
                return True
        return False


def read_keys(options: ServeOptions) -> Keys:
    """The keys of the file in `options`, else of the environment, else none.

    Raises:
        UsageError: The file cannot be read, or there is a key that could be guessed.
    """
    if options.api_keys is None:
        words = os.environ.get(KEYS_VARIABLE, "").split(",")
        where = f"Variable {KEYS_VARIABLE}"
    else:
        where = f"File of API keys {options.api_keys.name!r}"
        words = _lines(options.api_keys, where)
    keys = [word.strip() for word in words if word.strip() and not word.strip().startswith("#")]
    for key in keys:
        if len(key) < _FEWEST_CHARACTERS or not key.isascii() or not key.isprintable():
            raise UsageError(where, got=f"a key of {len(key)} characters",
                             expected=f"at least {_FEWEST_CHARACTERS} printable ASCII characters",
                             fix="Make one with Python's secrets.token_urlsafe().")  # fmt: skip
    if options.api_keys is not None and not keys:
        raise UsageError(where, got="no key", expected="one key a line", fix="Write one into it.")
    return Keys(keys)


def _lines(path: Path, where: str) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        got = getattr(error, "strerror", None) or "what is no text"
        raise UsageError(where, got=got, expected="one key a line", fix="Check the path.") from error


def open_tls(tls: Tls | None) -> ssl.SSLContext | None:
    """The certificate, ready to be shown; None for none.

    Raises:
        UsageError: A file cannot be read, or the key is not the certificate's.
    """
    if tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, tls)
    return context


def load_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    """Show the certificate that is in the files now to all who connect from now on.

    Raises:
        UsageError: As `open_tls`; the one that was loaded before is kept.
    """
    for path in (tls.cert, tls.key):
        try:
            path.read_bytes()
        except OSError as error:
            raise _unusable(path, error.strerror or "an error", "a PEM file that can be read") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert, tls.key, _no_pass_phrase)
        context.load_cert_chain(tls.cert, tls.key, _no_pass_phrase)
    except (ssl.SSLError, OSError, ValueError) as error:
        expected = f"a certificate whose key is in {tls.key.name!r}"
        raise _unusable(tls.cert, first_line(error), expected) from error


def _no_pass_phrase() -> str:
    raise ValueError("a key with a pass phrase")


def _unusable(path: Path, got: str, expected: str) -> UsageError:
    return UsageError(f"Certificate {path.name!r}", got=got, expected=expected,
                      fix="Check --tls-cert and --tls-key.")  # fmt: skip
