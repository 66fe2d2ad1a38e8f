"""One frame of a stream, before and after prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtimes import Array
from sdk.kinds import Sample

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Frame:
    """A frame and what the artifact says of it.

    Attributes:
        index: Its place in the source, from 0. Frames of a live source that were passed over are counted,
            so a gap between two indices is how many were.
        time_s: Seconds since the first frame, by the source's own clock; None for pictures of a folder.
        image: The upright picture, RGB or L. ``np.asarray(frame.image)`` is uint8 (H, W, 3) or (H, W).
        result: What `Predictor.predict` gives for the picture.
    """

    index: int
    time_s: float | None
    image: Image.Image = field(repr=False, compare=False)
    result: Any


@dataclass(frozen=True)
class Shot:
    """A frame as its source hands it over.

    Attributes:
        index: As of `Frame`.
        time_s: As of `Frame`.
        picture: Makes the item that `Predictor.predict` takes. Called for the frames that are used, because
            it costs more than keeping the decoder's own memory.
    """

    index: int
    time_s: float | None
    picture: Callable[[], Any]


@dataclass(frozen=True)
class Ready:
    """A frame that only waits for the engine.

    Attributes:
        index: As of `Frame`.
        time_s: As of `Frame`.
        arrays: What `runtime.run` takes.
        samples: What `Predictor.finish` takes.
    """

    index: int
    time_s: float | None
    arrays: dict[str, Array]
    samples: Sequence[Sample]
