"""`Stream`: frames with their results, decoded ahead on a thread of their own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from runtimes import UsageError
from sdk.stream.feed import Feed
from sdk.stream.frame import Frame, Ready, Shot
from sdk.stream.sources import Source, SourceOptions, open_source

if TYPE_CHECKING:
    from sdk.predictor import Predictor

_JOIN_S = 1.0
"""How long closing waits for the reader: longer than a frame takes. One that waits for a silent network
ends by itself when its time is up."""


class Stream(Iterator[Frame]):
    """Frames with their results, one after the other; also a context manager.

    A thread reads, decodes and prepares frames while the engine works on those before, in the thread that
    iterates. Frames of a file or folder come all and in order, and at most `ahead` of them wait. Of a live
    source only the newest waits: whoever asks gets the last that was decoded by then, and none twice.

    Leaving the loop, closing, an error and the end of the source all stop the thread and close the source.

    Args:
        predictor: Stays the caller's, and open for as long as the stream is used.
        source: As `open_source` gives it.
        ahead: How many prepared frames may wait.
    """

    def __init__(self, predictor: Predictor, source: Source, ahead: int) -> None:
        self._predictor = predictor
        self._source = source
        self._feed: Feed[Ready | Shot] = Feed(ahead, newest_wins=source.live)
        # Live frames are prepared when they are asked for: most are passed over.
        prepare = _as_shot if source.live else _Preparing(predictor)
        # The thread must not hold the stream, or a stream that was let go would never be collected.
        self._reader = threading.Thread(
            target=_read, args=(source, self._feed, prepare), name="edgewright-stream", daemon=True
        )
        self._reader.start()

    @property
    def name(self) -> str:
        """What messages call the source."""
        return self._source.name

    @property
    def live(self) -> bool:
        """Whether only the newest frame counts."""
        return self._source.live

    @property
    def rate(self) -> float | None:
        """Frames per second as the source states it, or None."""
        return self._source.rate

    @property
    def total(self) -> int | None:
        """How many frames the source says it has, or None."""
        return self._source.total

    @property
    def latest(self) -> int:
        """Index of the newest frame that was decoded; -1 before the first."""
        return self._feed.count - 1

    @property
    def dropped(self) -> int:
        """Frames that were passed over for newer ones; always 0 unless live."""
        return self._feed.dropped

    @property
    def damaged(self) -> int:
        """Damaged frames that were left out."""
        return self._source.damaged

    @property
    def ended(self) -> str | None:
        """Why no more frames come, such as ``end of stream``; None while they do."""
        return self._source.ended

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Frame:
        """The next frame with its result.

        Raises:
            StopIteration: There are no more, or the stream is closed.
            InputError: The source is damaged, or a frame cannot be used.
            EngineError: The engine failed, or the predictor is closed.
        """
        try:
            entry = self._feed.get()
            ready = entry if isinstance(entry, Ready) else _Preparing(self._predictor)(entry)
            outputs = self._predictor.compute(ready.arrays)
            (result,) = self._predictor.finish(outputs, ready.samples)
        except BaseException:
            self.close()
            raise
        return Frame(ready.index, ready.time_s, ready.samples[0].source, result)

    def close(self) -> None:
        """Stop reading and close the source; may be called twice, and from any thread."""
        self._feed.close()
        if self._reader is not threading.current_thread():
            self._reader.join(_JOIN_S)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        feed = getattr(self, "_feed", None)  # absent where the constructor failed
        if feed is not None:
            feed.close()


def open_stream(
    predictor: Predictor, source: str | os.PathLike[str] | int, *, ahead: int, options: SourceOptions
) -> Stream:
    """Open a source and begin to read it; see `Predictor.stream`."""
    if ahead < 1:
        raise UsageError("Option 'ahead'", got=repr(ahead), expected="at least 1", fix="Leave it out for 4.")
    return Stream(predictor, open_source(source, options), ahead)


class _Preparing:
    """From a shot to what the engine takes."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def __call__(self, shot: Shot) -> Ready:
        arrays, samples = self._predictor.prepare([shot.picture()])
        return Ready(shot.index, shot.time_s, arrays, samples)


def _as_shot(shot: Shot) -> Shot:
    return shot


def _read(source: Source, feed: Feed[Ready | Shot], prepare: Callable[[Shot], Ready | Shot]) -> None:
    """What the thread does: hand over frames until there are no more or nobody wants them."""
    try:
        for shot in source.shots():
            if not feed.put(prepare(shot)):
                break
        feed.finish()
    except Exception as error:  # noqa: BLE001 - raised again in the thread that iterates
        feed.finish(error)
    finally:
        source.close()
