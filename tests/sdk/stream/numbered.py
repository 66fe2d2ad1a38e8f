"""Videos whose frames say which they are: the number stands in them as bright and dark squares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

SQUARE_PX = 16
COLUMNS, ROWS = 7, 2
SIZE_WH = (COLUMNS * SQUARE_PX, ROWS * SQUARE_PX)


def picture(number: int) -> np.ndarray:
    """uint8 (H, W, 3) that says `number`, below 2 ** 14."""
    bits = np.array([number >> bit & 1 for bit in range(COLUMNS * ROWS)], np.uint8).reshape(ROWS, COLUMNS)
    squares = np.kron(bits * 200 + 25, np.ones((SQUARE_PX, SQUARE_PX), np.uint8))
    return np.repeat(squares[:, :, None], 3, axis=2)


def number_in(image: Image.Image) -> int:
    """Which frame a picture is."""
    middles = np.asarray(image.convert("L"))[SQUARE_PX // 2 :: SQUARE_PX, SQUARE_PX // 2 :: SQUARE_PX]
    bits = (middles[:ROWS, :COLUMNS].reshape(-1) > 128).tolist()
    return sum(bit << place for place, bit in enumerate(bits))


def write_video(
    path: Path,
    numbers: Iterable[int],
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    times_ms: Sequence[int] | None = None,
    container: dict[str, str] | None = None,
) -> Path:
    """Encode numbered frames, 25 a second or at `times_ms`, with frames that are stored out of order."""
    with av.open(str(path), "w", options=container or {}) as output:
        track = output.add_stream(codec, rate=25, options=options or {"preset": "ultrafast", "bf": "2"})
        track.width, track.height = SIZE_WH
        track.pix_fmt = "yuv420p"
        if times_ms is not None:
            track.time_base = track.codec_context.time_base = Fraction(1, 1000)
        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[place], Fraction(1, 1000)
            output.mux(track.encode(frame))
        output.mux(track.encode(None))
    return path


def read_times_s(path: Path) -> list[float]:
    """When each frame of a file is shown, from its first."""
    with av.open(str(path)) as video:
        times = [float(frame.time or 0) for frame in video.decode(video=0)]
    return [time_s - times[0] for time_s in times]
