"""How a foreign graph is probably fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sdk.foreign.guess import Notes, first_operator
from sdk.foreign.onnx_outline import OnnxOutline, OnnxTensor
from sdk.foreign.state import State, state_pairs
from sdk.inputs.arrays import ArraysInput
from sdk.inputs.image import IMAGE, ImageInput
from sdk.kinds import InputKind

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of torchvision's weights, and of most that were fine-tuned from such."""
CLASSIFIER_PX, DETECTOR_PX = 224, 640
_ARITHMETIC = ("Sub", "Div", "Mul", "Add", "BatchNormalization", "InstanceNormalization")
_TOKENS = ("input_ids", "token_ids", "tokens", "attention_mask", "token_type_ids", "position_ids")


@dataclass(frozen=True)
class Picture:
    """The graph's one input is a picture.

    Attributes:
        tensor: It.
        channels_last: Whether its layout is (N, H, W, C).
        channels: 1 or 3.
        size_wh: Width and height; None where one is open.
    """

    tensor: OnnxTensor
    channels_last: bool
    channels: int
    size_wh: tuple[int, int] | None

    @property
    def baked(self) -> tuple[str, ...]:
        """The steps of `ImageInput` that are not the host's."""
        layout = ("layout",) if self.channels_last else ()
        return (*layout, "cast", "normalise") if self.tensor.dtype == "uint8" else layout


def find_picture(outline: OnnxOutline) -> Picture | None:
    """The picture that a graph takes; None where it takes something else, or more than that."""
    if len(outline.inputs) != 1:
        return None
    (tensor,) = outline.inputs
    shape = tensor.shape or ()
    if len(shape) != 4 or tensor.dtype not in ("float32", "float16", "float64", "uint8"):
        return None
    for axis, channels_last in ((1, False), (3, True)):
        channels = shape[axis]
        if channels in (1, 3) and isinstance(channels, int):
            height, width = (shape[1], shape[2]) if channels_last else (shape[2], shape[3])
            fixed = isinstance(height, int) and isinstance(width, int)
            size_wh = (width, height) if fixed else None
            return Picture(tensor, channels_last, channels, size_wh)  # type: ignore[arg-type]
    return None


def picture_input(picture: Picture, outline: OnnxOutline, task: str, notes: Notes) -> ImageInput:
    """A picture's preprocessing: its size and layout from the file, its values by custom."""
    layout = "(N, H, W, C)" if picture.channels_last else "(N, C, H, W)"
    notes.certain["graph inputs"] = f"{picture.tensor.name!r} is a picture {layout}, {picture.tensor}"
    size_wh = picture.size_wh
    if size_wh is None:
        px = DETECTOR_PX if task == "detection" else CLASSIFIER_PX
        size_wh = (px, px)
        notes.guessed["input.size_wh"] = "the graph leaves the size open: write that of training"
    else:
        notes.certain["input.size_wh"] = "the graph's own shape"
    resize, reason = _resize(task)
    notes.guessed["input.resize"] = reason
    notes.guessed["input.filter"] = "bilinear as Pillow's; opencv_bilinear for models trained behind OpenCV"
    scale, mean, std = _values(picture, outline, task, notes)
    if picture.channels == 3:
        notes.guessed["input.channels"] = "rgb: models of OpenCV and Caffe take bgr"
    count = picture.channels
    return ImageInput(
        channels="rgb" if count == 3 else "grey",
        size_wh=size_wh,
        resize=resize,
        shortest_px=round(max(size_wh) * 8 / 7) if resize == "shortest" else None,
        filter="bilinear",
        pad_colour=(114, 114, 114),
        alpha_colour=(255, 255, 255),
        scale=scale,
        mean=mean,
        std=std,
        jpeg_scaling="full",
        views=("identity",),
    )


def _resize(task: str) -> tuple[str, str]:
    if task == "detection":
        return "letterbox", "detectors are mostly trained on letterboxed pictures, on grey 114"
    if task in ("classification", "embedding"):
        return "shortest", "shortest side to 8/7 of the size, then the centre, as torchvision evaluates"
    return "stretch", "to the graph's size: letterbox and shortest keep the picture's shape"


def _values(
    picture: Picture, outline: OnnxOutline, task: str, notes: Notes
) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """Scale, mean and std."""
    count = picture.channels
    zeros, ones = (0.0,) * count, (1.0,) * count
    if picture.tensor.dtype == "uint8":
        notes.certain["input.scale"] = "the graph takes bytes and normalises them itself"
        return 1.0, zeros, ones
    first = first_operator(outline, picture.tensor.name)
    if first is not None and first.operator in _ARITHMETIC:
        notes.guessed["input.scale"] = (
            f"0..255 as they are: the graph begins with {first.operator}, so it normalises by itself"
        )
        return 1.0, zeros, ones
    if count == 3 and task in ("classification", "embedding", "segmentation"):
        notes.guessed["input.mean, input.std"] = (
            "ImageNet's, as torchvision's weights: see the model's training"
        )
        return 1 / 255, IMAGENET_MEAN, IMAGENET_STD
    notes.guessed["input.scale"] = "0..1, nothing subtracted: see the model's training"
    return 1 / 255, zeros, ones


def arrays_input(outline: OnnxOutline, notes: Notes) -> tuple[InputKind, bool]:
    """Plain arrays, and whether their first axis counts items."""
    states = state_pairs(outline)
    for state in states:
        notes.guessed[f"state {state.taken!r}"] = _carry(state)
    batched = not states and _counts_items(outline.inputs + outline.outputs)
    notes.guessed["input.batched"] = (
        "the first axis of every input and output is open: it counts items"
        if batched
        else "one item is one call, with exactly the graph's shapes"
    )
    for tensor in outline.inputs:
        notes.certain[f"input {tensor.name!r}"] = f"{tensor}{_nature(tensor)}"
    infos = tuple(
        info if not batched else type(info)(info.name, info.dtype, info.shape[1:])
        for info in (tensor.info for tensor in outline.inputs)
    )
    return ArraysInput(infos, batched), batched


def image_roles(picture: Picture) -> dict[str, str]:
    """What the picture is to `ImageInput`."""
    return {picture.tensor.name: IMAGE}


def _counts_items(tensors: Sequence[OnnxTensor]) -> bool:
    firsts = [tensor.shape[0] if tensor.shape else 1 for tensor in tensors]
    return not any(isinstance(first, int) for first in firsts) and len({f for f in firsts if f}) <= 1


def _carry(state: State) -> str:
    return f"output {state.given!r} of one call is probably input {state.taken!r} of the next; zeros at first"


def _nature(tensor: OnnxTensor) -> str:
    whole = tensor.dtype in ("int64", "int32")
    if whole and (tensor.name in _TOKENS or any(word in tensor.name for word in ("ids", "mask"))):
        return ": token numbers of a text model; its tokenizer is not in the file"
    if whole and (tensor.shape in ((), (1,))):
        return ": a setting"
    if tensor.dtype == "object":
        return ": text as it is"
    return ""
