"""What stands between two threads."""

from __future__ import annotations

import threading

import pytest

from sdk.stream.feed import Feed
from tests.sdk.stream.conftest import eventually


def test_feed_keeps_order_and_its_bound() -> None:
    feed: Feed[int] = Feed(2)
    writer = threading.Thread(target=lambda: [feed.put(n) for n in range(100)] and feed.finish())
    writer.start()

    assert eventually(lambda: feed.count == 2)
    assert list(feed.taken()) == list(range(100))
    assert (feed.count, feed.dropped) == (100, 0)
    writer.join()


def test_feed_of_the_newest_keeps_one_and_never_waits() -> None:
    feed: Feed[int] = Feed(1, newest_wins=True)
    for number in range(5):
        assert feed.put(number)

    assert feed.get() == 4
    assert (feed.count, feed.dropped) == (5, 4)
    feed.put(5)
    feed.finish()
    assert list(feed.taken()) == [5]
    assert feed.dropped == 4


def test_feed_gives_what_waits_before_the_error() -> None:
    feed: Feed[int] = Feed(2)
    feed.put(1)
    feed.finish(ValueError("damaged"))

    assert feed.get() == 1
    with pytest.raises(ValueError, match="damaged"):
        feed.get()
    with pytest.raises(StopIteration):
        feed.get()


@pytest.mark.parametrize("side", ["put", "get"])
def test_feed_lets_both_sides_go_when_closed(side: str) -> None:
    feed: Feed[int] = Feed(1)
    outcome: list[object] = []
    if side == "put":
        feed.put(0)
    blocked = threading.Thread(
        target=lambda: outcome.append(feed.put(1) if side == "put" else list(feed.taken()))
    )
    blocked.start()

    feed.close()
    blocked.join(10)

    assert outcome == [False if side == "put" else []]
    assert not feed.put(2)
