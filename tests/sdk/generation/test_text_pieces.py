"""Text as it grows: pieces that can be shown at once."""

from __future__ import annotations

import pytest

from sdk.generation.text_pieces import TextPieces

TEXT = "naïve 東京 🙂 fin"


def _bytes_decoder(ids: list[int]) -> str:
    """A byte per token, as byte-level tokenizers have it for what they do not know."""
    return bytes(ids).decode("utf-8", errors="replace")


def _words_decoder(ids: list[int]) -> str:
    """A decoder that puts a space between tokens, but none in front."""
    return " ".join(f"w{token}" for token in ids)


def test_pieces_never_end_inside_a_character_and_make_up_the_text() -> None:
    pieces = TextPieces(_bytes_decoder)
    shown = [pieces.add(byte) for byte in TEXT.encode()] + [pieces.end()]
    assert "".join(shown) == pieces.text == TEXT
    assert "\ufffd" not in "".join(shown)
    assert "🙂" in shown, "four tokens, one piece"
    assert shown.count("") == len(TEXT.encode()) - len(TEXT) + 1


def test_bytes_that_never_become_a_character_are_shown_as_such() -> None:
    pieces = TextPieces(_bytes_decoder)
    broken = b"ab\xff\xff\xff\xff\xffcd"
    shown = "".join([pieces.add(byte) for byte in broken] + [pieces.end()])
    assert shown.startswith("ab")
    assert shown.endswith("cd")


def test_half_a_character_at_the_end_is_not_lost() -> None:
    pieces = TextPieces(_bytes_decoder)
    shown = "".join([pieces.add(byte) for byte in "aé".encode()[:-1]] + [pieces.end()])
    assert shown == "a\ufffd"


def test_first_token_is_spaced_by_what_stands_before_it() -> None:
    pieces = TextPieces(_words_decoder, before=[1, 2])
    assert [pieces.add(3), pieces.add(4), pieces.end()] == [" w3", " w4", ""]


@pytest.mark.parametrize(
    ("stops", "shown", "stopped"),
    [
        (("STOP",), "one STO two ", True),
        (("two", "STOP"), "one STO ", True),
        (("absent",), "one STO two STOP three", False),
        ((), "one STO two STOP three", False),
    ],
    ids=["one", "the first of two", "absent", "none"],
)
def test_stop_string_ends_the_text_and_is_never_shown(
    stops: tuple[str, ...], shown: str, stopped: bool
) -> None:
    pieces = TextPieces(_bytes_decoder, stops=stops)
    found = []
    for byte in b"one STO two STOP three":
        found.append(pieces.add(byte))
        if pieces.stopped:
            break
    found.append(pieces.end())
    assert "".join(found) == shown == pieces.text
    assert pieces.stopped is stopped
    if stopped:
        assert not any("STOP" in "".join(found[:at]) for at in range(len(found) + 1))


def test_stop_string_within_one_token_cuts_that_token() -> None:
    pieces = TextPieces(lambda ids: "".join({0: "ab", 1: "c.d"}[i] for i in ids), stops=(".",))
    assert pieces.add(0) + pieces.add(1) + pieces.end() == "abc"
    assert pieces.stopped
