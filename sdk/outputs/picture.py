"""Pictures as answers: style transfer, generators, and whatever else paints."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from runtimes import Array, EngineError, SpecError
from sdk.inputs.image import IMAGE
from sdk.inputs.noise import NoiseInput
from sdk.kinds import OutputKind, Sample
from sdk.outputs.map_placing import placing_of
from sdk.results.generated_image import GeneratedImage
from sdk.schemas import PNG, SIZE_WH, Schema, record

if TYPE_CHECKING:
    from sdk.predictor import Predictor

PICTURE = "picture"
"""Name of the graph output, baked or not."""
TO_UINT8 = "to_uint8"
"""The bakeable step: round to levels, clamp, cast, channels last."""
CHANNELS = {"rgb": 3, "grey": 1}
WHITE = 255
"""The brightest level."""


@dataclass(frozen=True)
class PictureOutput(OutputKind):
    """How a painted picture is read.

    The network gives float32 (N, C, h, w) from 0, black, to 1, white.

    Attributes:
        channels: ``rgb`` or ``grey``.
    """

    kind: ClassVar[str] = "picture"
    bakeable: ClassVar[tuple[str, ...]] = (TO_UINT8,)
    averages: ClassVar[bool] = False

    channels: str

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS:
            raise SpecError(
                "spec.output.channels",
                got=repr(self.channels),
                expected=f"one of {sorted(CHANNELS)}",
                fix="Correct the spec.",
            )

    @property
    def channel_count(self) -> int:
        """3 for colour, 1 for grey."""
        return CHANNELS[self.channels]

    def generate(self, predictor: Predictor, what: Any, **options: Any) -> Any:
        """Pictures from noise, for artifacts that make them from nothing else.

        Args:
            predictor: The artifact.
            what: How many.
            **options: ``seed`` and ``truncation``; see `NoiseInput.draws`.

        Returns:
            So many `GeneratedImage`.

        Raises:
            UsageError: The pictures are made from other pictures, or an option makes no sense.
        """
        noise = predictor.spec.input
        if not isinstance(noise, NoiseInput):
            return super().generate(predictor, what, **options)
        return predictor.predict(noise.draws(what, **options))

    def activate(self, outputs: Mapping[str, Array], baked: Collection[str]) -> dict[str, Array]:
        """Pictures as levels: uint8 (N, h, w, C).

        Raises:
            EngineError: The network gave NaN.
        """
        picture = outputs[PICTURE]
        return {PICTURE: picture if TO_UINT8 in baked else to_uint8(picture)}

    def difference(self, outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
        """The mean absolute difference of the picture that differs most; 1 is from black to white.

        The mean, because where a value lies between two levels, another order of additions rounds it to the
        other one: a single pixel may always be a level apart.
        """
        found, wanted = outputs[PICTURE], expected[PICTURE]
        worst = 0.0
        for one, other in zip(found, wanted, strict=True):
            worst = max(worst, float(np.abs(one.astype(np.int16) - other).mean()) / WHITE)
        return worst

    def json_schema(self) -> Schema:
        """JSON Schema of a result's `to_dict`."""
        return record({"size_wh": SIZE_WH, "picture_png": PNG})

    def features(self, result: Any) -> dict[str, float | str]:
        """How the picture looks as a whole."""
        from sdk.monitor.features import picture_features  # not needed to predict

        return {**picture_features(result.pixels)}

    def read(self, outputs: Mapping[str, Array], samples: Sequence[Sample]) -> list[Any]:
        """One `GeneratedImage` per sample: where the item was a picture, at the size of that picture."""
        return [
            GeneratedImage(at_original_size(picture, sample), sample.source)
            for picture, sample in zip(outputs[PICTURE], samples, strict=True)
        ]


def to_uint8(pictures: Array) -> Array:
    """Brightnesses to levels, halves to the even one as ONNX and torch round.

    Args:
        pictures: float32 (N, C, h, w), 0..1; what lies beyond is clamped.

    Returns:
        uint8 (N, h, w, C).

    Raises:
        EngineError: There is NaN.
    """
    lowest = pictures.min(initial=0.0)
    if lowest != lowest:  # noqa: PLR0124 - NaN, which min() carries through
        raise EngineError(
            f"Output {PICTURE!r}",
            got="NaN",
            expected="brightnesses from 0 to 1",
            fix="Export in fp32, or train again: the network overflows.",
        )
    levels = np.rint(pictures * np.float32(WHITE)).clip(0, WHITE).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(0, 2, 3, 1))


def at_original_size(picture: Array, sample: Sample) -> Array:
    """Undo what the input did to a picture's size: padding is cut away, and the rest resized (bicubic).

    Args:
        picture: uint8 (h, w, C).
        sample: What it was made from. Without a geometry, such as a seed, the picture stays as it is.

    Returns:
        uint8 (H, W, C): of the original, or of the part of it that the network was shown.
    """
    if "scale_x" not in sample.geometry:
        return picture
    height, width, _ = sample.arrays[IMAGE].shape
    placing = placing_of(sample.geometry, (width, height), (picture.shape[1], picture.shape[0]))
    left, top, right, bottom = placing.seen
    size_wh = (right - left, bottom - top)
    if placing.box[2] - placing.box[0] == size_wh[0] and placing.box[3] - placing.box[1] == size_wh[1]:
        x, y = round(placing.box[0]), round(placing.box[1])
        return picture[y : y + size_wh[1], x : x + size_wh[0]]
    image = Image.fromarray(picture if picture.shape[2] > 1 else picture[:, :, 0])
    resized = np.asarray(image.resize(size_wh, Image.Resampling.BICUBIC, placing.box))
    return resized if resized.ndim == 3 else resized[:, :, None]
