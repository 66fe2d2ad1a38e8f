"""Tokenizers inside a spec: the JSON of the `tokenizers` library, packed, opened once per process."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from runtimes import EngineMissingError, SpecError
from runtimes.errors import first_line

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_OPEN = 8
"""Tokenizers that are kept open: a process rarely has more than one or two."""


def pack_tokenizer(text: str) -> str:
    """A tokenizer's JSON as a spec holds it: without spaces, compressed, as base64.

    Args:
        text: What `Tokenizer.to_str` gives, or the contents of a ``tokenizer.json``.
    """
    plain = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    return b64encode(zlib.compress(plain.encode(), 9)).decode()


def unpack_tokenizer(packed: str) -> str:
    """The JSON that `pack_tokenizer` packed.

    Raises:
        SpecError: It is something else.
    """
    try:
        return zlib.decompress(b64decode(packed, validate=True)).decode()
    except (ValueError, zlib.error) as error:
        raise _unusable(error) from error


@lru_cache(_OPEN)
def open_tokenizer(packed: str, max_tokens: int | None = None, truncation_side: str = "right") -> Tokenizer:
    """The tokenizer, ready to encode; shared between threads and not to be changed.

    Args:
        packed: By `pack_tokenizer`.
        max_tokens: Longer texts are cut to so many, special tokens among them; None cuts nothing.
        truncation_side: Which end of a long text goes: ``right`` or ``left``.

    Raises:
        EngineMissingError: The `tokenizers` library is not installed.
        SpecError: It is no tokenizer that this version of the library reads.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise EngineMissingError(
            "Texts",
            got=f"no usable package tokenizers ({first_line(error)})",
            expected="it, to turn texts into numbers",
            fix="Run: pip install 'edgewright[text]'.",
        ) from error
    try:
        tokenizer = Tokenizer.from_str(unpack_tokenizer(packed))
    except Exception as error:  # the library raises plain Exception
        if isinstance(error, SpecError):
            raise
        raise _unusable(error) from error
    tokenizer.no_padding()
    if max_tokens is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(max_tokens, direction=truncation_side)
    return tokenizer


def describe_tokenizer(packed: str) -> dict[str, Any]:
    """What people want to know of it, read without the `tokenizers` library.

    Returns:
        ``model`` such as WordPiece, ``tokens``, and ``bytes`` as it is stored.

    Raises:
        SpecError: It is no tokenizer.
    """
    try:
        model = json.loads(unpack_tokenizer(packed))["model"]
        return {"model": model.get("type"), "tokens": len(model["vocab"]), "bytes": len(packed)}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _unusable(error) from error


def _unusable(error: Exception) -> SpecError:
    return SpecError(
        "spec.input.tokenizer",
        got=first_line(error),
        expected="the JSON of a tokenizer, packed by sdk.inputs.tokenizer.pack_tokenizer",
        fix="Use the Edgewright version that wrote it, or train again.",
    )
