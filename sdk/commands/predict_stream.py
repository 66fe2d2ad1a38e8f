"""`edgewright predict` on videos, addresses and cameras: what it prints and writes, frame by frame."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from runtimes import UsageError
from sdk.commands.runtime_options import runtime_options
from sdk.stream.names import VIDEO_SUFFIXES, is_address, is_stream, shown_address

if TYPE_CHECKING:
    from sdk.stream import AnnotatedVideo, Frame, Stream

_PROGRESS_S = 0.2


def add_stream_options(parser: argparse.ArgumentParser) -> None:
    """Add what concerns videos, addresses and cameras only."""
    group = parser.add_argument_group("video")
    group.add_argument(
        "--live",
        action=argparse.BooleanOptionalAction,
        help="pass frames over that come while another is predicted on. "
        "Default: for cameras, and for addresses that state no length",
    )
    group.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        default=10.0,
        help="how long a camera or an address may send nothing (10)",
    )
    group.add_argument(
        "--skip-damaged", action="store_true", help="leave damaged frames of a file out instead of stopping"
    )


def takes_streams(words: list[str]) -> bool:
    """Whether the inputs are videos, addresses or cameras.

    Raises:
        UsageError: Some are and some are not.
    """
    streams = [is_stream(word) for word in words]
    if any(streams) and not all(streams):
        raise UsageError(
            "Inputs",
            got=f"videos and pictures ({words[streams.index(True)]!r} and {words[streams.index(False)]!r})",
            expected="one or the other",
            fix="Predict on them one after the other.",
        )
    return any(streams)


def predict_streams(args: argparse.Namespace) -> int:
    """Predict on each input in turn, and print or write every frame's result."""
    from sdk.predictor import Predictor

    targets = _targets(args.inputs, args.out)
    with Predictor(args.artifact, **runtime_options(args)) as predictor, _printer(args) as say:
        for word, target in zip(args.inputs, targets, strict=True):
            stream = predictor.stream(
                word, live=args.live, timeout_s=args.timeout, skip_damaged=args.skip_damaged
            )
            with stream:
                _predict_one(stream, shown_address(word) if is_address(word) else word, target, say)
    return 0


def _predict_one(stream: Stream, name: str, target: Path | None, say: _Printer) -> None:
    from sdk.stream import AnnotatedVideo

    begun, done = time.monotonic(), 0
    video: contextlib.AbstractContextManager[AnnotatedVideo | None]
    video = AnnotatedVideo(target, stream.rate) if target else contextlib.nullcontext()
    with video as writer, _ended_by_signals(stream):
        for frame in stream:
            if writer:
                writer.write(frame)
            done += 1
            say.frame(name, frame)
            say.progress(name, done, stream.total, time.monotonic() - begun)
    say.summary(name, stream, done, time.monotonic() - begun, writer)


@contextlib.contextmanager
def _ended_by_signals(stream: Stream) -> Iterator[None]:
    """Let Ctrl-C and `kill` end a live source as its own end would: that is how one stops what has no end."""
    if not stream.live or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, before[number])  # a second one ends the process
        # Not here: this may run in the middle of the hand-over that it would have to lock.
        threading.Thread(target=stream.close).start()

    before: dict[int, Any] = {
        number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Printer:
    """Says frames on standard output: as lines, as a JSON list, or not where a video is written."""

    def __init__(self, as_json: bool, writes_video: bool) -> None:
        self._json = as_json
        self._quiet = writes_video and not as_json
        self._entries = 0
        # A bar beside lines on the same terminal would be torn apart.
        self._watched = sys.stderr.isatty() and (self._quiet or not sys.stdout.isatty())
        self._shown_at = 0.0

    def frame(self, name: str, frame: Frame) -> None:
        """One frame's result, at once: whoever reads a pipe may be waiting."""
        if self._json:
            answer = {"input": name, "frame": frame.index, "time_s": frame.time_s, **frame.result.to_dict()}
            text = json.dumps(answer, indent=2).replace("\n", "\n  ")
            print(f"{',' if self._entries else '['}\n  {text}", end="", flush=True)
            self._entries += 1
        elif not self._quiet:
            at = "" if frame.time_s is None else f" {frame.time_s:.3f} s"
            print(f"{name} {frame.index}{at}: {frame.result.summary()}", flush=True)

    def progress(self, name: str, done: int, total: int | None, seconds: float) -> None:
        """How far it is, a few times a second, where somebody watches."""
        if self._watched and seconds - self._shown_at >= _PROGRESS_S:
            self._shown_at = seconds
            of = f" of {total}" if total else ""
            sys.stderr.write(f"\r\x1b[K{name}: {done}{of} frames, {done / seconds:.1f} a second")
            sys.stderr.flush()

    def summary(
        self, name: str, stream: Stream, done: int, seconds: float, video: AnnotatedVideo | None
    ) -> None:
        """What was done, where a video was written, frames were left out, or a live source ended."""
        if self._watched:
            sys.stderr.write("\r\x1b[K")
        self._shown_at = 0.0
        words = [f"{done} frames in {seconds:.1f} s, {done / max(seconds, 1e-9):.1f} a second"]
        words += [f"{stream.dropped} passed over"] if stream.dropped else []
        words += [f"{stream.damaged} damaged left out"] if stream.damaged else []
        words += [stream.ended or "stopped"] if stream.live else []
        words += [f"written to {video.path} ({video.encoder})"] if video else []
        if len(words) > 1:
            print(f"{name}: {'; '.join(words)}", file=sys.stdout if self._quiet else sys.stderr, flush=True)

    def end(self) -> None:
        """Close the list."""
        if self._json:
            print("\n]" if self._entries else "[]", flush=True)


@contextlib.contextmanager
def _printer(args: argparse.Namespace) -> Iterator[_Printer]:
    say = _Printer(args.json, args.out is not None)
    yield say
    say.end()


def _targets(words: list[str], out: Path | None) -> list[Path | None]:
    """Where each input's video goes: to `out` where that is a video's name, else into the folder `out`."""
    if out is None:
        return [None] * len(words)
    if out.suffix.lower() in VIDEO_SUFFIXES:
        if len(words) > 1:
            raise UsageError(
                "Option --out",
                got=f"one file for {len(words)} inputs",
                expected="a folder",
                fix="Name a folder, or predict on them one after the other.",
            )
        return [out]
    targets = [out / f"{_stem(word)}_labelled.mp4" for word in words]
    if len(set(targets)) != len(words):
        raise UsageError(
            "Option --out",
            got="inputs that share a file name",
            expected="different names",
            fix="Predict on them one after the other.",
        )
    out.mkdir(parents=True, exist_ok=True)
    return list(targets)


def _stem(word: str) -> str:
    """A file name without its suffix, from a path, an address or a camera."""
    stem = shown_address(word).partition("://")[2] if is_address(word) else Path(word).stem
    return re.sub(r"[^\w.-]+", "_", stem).strip("_.") or "stream"
