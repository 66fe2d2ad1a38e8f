"""The best code that one would write by hand for an artifact: its few steps in order, and nothing checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from runtimes import Array
from sdk.spec import Spec


class ByHand:
    """Pillow and ONNX Runtime for one model and one size of picture; all that can be is worked out before.

    Args:
        path: The `.onnx` artifact; ONNX Runtime skips the contract.
        spec: Its contract, whose numbers somebody would have written into the code.
        picture_wh: Width and height of every picture.
        spinning: As for `OnnxRuntime`, or ``always`` for ONNX Runtime's own defaults.
    """

    def __init__(
        self, path: Path, spec: Spec, picture_wh: tuple[int, int], spinning: str = "running"
    ) -> None:
        import onnxruntime

        from runtimes.onnx_runtime import SPINNING

        options = onnxruntime.SessionOptions()
        for entry, value in SPINNING[spinning].items():
            options.add_session_config_entry(entry, value)
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._plan(spec.input, picture_wh)

    def jpeg(self, path: Path) -> Array:
        """Scores (classes,) of a JPEG file."""
        image: Image.Image = Image.open(path)
        if self._draft is not None:
            image.draft(None, self._draft)
        return self._scores(image, self._box)

    def array(self, pixels: Array) -> Array:
        """Scores (classes,) of uint8 (H, W, 3)."""
        return self._scores(Image.fromarray(pixels), None)

    def _scores(self, image: Image.Image, box: tuple[float, float, float, float] | None) -> Array:
        image = image.resize(self._inner_wh, Image.Resampling.BILINEAR, box)
        image = image.crop(self._crop)
        scores: Array = self._session.run(["scores"], {"image": np.asarray(image)[None]})[0][0]
        return scores

    def _plan(self, image: Any, picture_wh: tuple[int, int]) -> None:
        width, height = picture_wh
        side, ratio = image.size_wh[0], image.shortest_px / min(picture_wh)
        self._inner_wh = int(width * ratio), int(height * ratio)
        left, top = (round((inner - side) / 2) for inner in self._inner_wh)
        self._crop = (left, top, left + side, top + side)
        self._draft, self._box = None, None
        if image.jpeg_scaling == "reduced":
            fitting = [d for d in (8, 4, 2) if min(picture_wh) / d >= 2 * image.shortest_px]
            if fitting:
                self._draft = (width // fitting[0], height // fitting[0])
                self._box = (0.0, 0.0, width / fitting[0], height / fitting[0])
