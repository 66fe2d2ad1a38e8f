"""Class activation maps as one more output of the graph, so that a deployed classifier can explain itself.

Behind a global average pooling, one linear layer gives the scores. The same layer at every place of the
features that are averaged gives a map per class whose mean is the score without its bias (Zhou et al. 2016,
"Learning Deep Features for Discriminative Localization", section 2).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from runtimes import Dim, TensorInfo, UsageError
from sdk.explain.explaining import MAPS
from sdk.explain.grad_cam import last_called
from sdk.inputs.image import VIEWS, ImageInput
from sdk.outputs.classification import ClassificationOutput
from sdk.spec import Spec

# Both sides add the same products in another order.
_RELATIVE_TOLERANCE = 1e-3
_HEAD = "a head of one linear layer behind a global average pooling"


def with_class_maps(network: nn.Module, spec: Spec) -> tuple[nn.Module, Spec]:
    """A network that gives scores and maps, and the spec with both outputs. Layers keep their names.

    Args:
        network: A checkpoint's, in eval mode; changed in place.
        spec: Its spec.

    Raises:
        UsageError: It is no classifier of pictures, or its head is another than one linear layer behind a
            global average pooling.
    """
    if not isinstance(spec.output, ClassificationOutput) or not isinstance(spec.input, ImageInput):
        raise _refused(f"a network that answers with {spec.output.kind} to {spec.input.kind}",
                       "a classifier of pictures")  # fmt: skip
    width, height = spec.input.size_wh
    shape = (2, spec.input.channel_count, height, width)
    example = (torch.linspace(-1, 1, math.prod(shape)).reshape(shape),)
    pooling = last_called(network, example, nn.AdaptiveAvgPool2d)
    linear = last_called(network, example, nn.Linear)
    if pooling is None or linear is None or linear.out_features != len(spec.output.labels):
        raise _refused(f"{spec.network.name}, which has no such head")
    names = {module: name for name, module in network.named_modules()}
    tap = _Tap(names[linear])
    pooling.register_forward_pre_hook(tap.keep)
    with torch.inference_mode():
        scores = network(*example)
    if tap.channels != linear.in_features:
        raise _refused(f"{spec.network.name}, whose head is more than that")
    network.register_forward_hook(tap.add_maps)
    with torch.inference_mode():
        _, maps = network(*example)
    _require_same_scores(scores, maps, linear, spec.network.name)
    info = TensorInfo(MAPS, "float32", (Dim(), *maps.shape[1:]))
    graph = spec.graph()
    graphs = tuple(replace(g, outputs=(*g.outputs, info)) if g is graph else g for g in spec.graphs)
    return network, replace(spec, graphs=graphs)


class UprightMaps(nn.Module):
    """Maps of mirrored views, turned back, so that their mean lies on the picture.

    Args:
        views: Of the spec; rows come view by view.
    """

    def __init__(self, views: tuple[str, ...]) -> None:
        super().__init__()
        # Of (V, N, classes, h, w), where the input has (N, H, W, C).
        self._axes = [tuple(axis + 2 for axis in VIEWS[view]) for view in views]

    def forward(self, maps: Tensor) -> Tensor:
        """From and to float32 (V * N, classes, h, w)."""
        if len(self._axes) == 1 and not self._axes[0]:
            return maps
        by_view = maps.reshape(len(self._axes), -1, *maps.shape[1:]).split(1)
        turned = [
            torch.flip(part, axes) if axes else part for part, axes in zip(by_view, self._axes, strict=True)
        ]
        return torch.cat(turned).flatten(0, 1)


class _Tap:
    """Takes the features on their way into the pooling; a copy of the network takes a copy of it along."""

    def __init__(self, linear: str) -> None:
        self._linear = linear
        self._features: list[Tensor] = []

    @property
    def channels(self) -> int:
        """Of the features that are kept now."""
        return self._features[0].shape[1]

    def keep(self, _pooling: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Hook before the pooling."""
        self._features[:] = inputs[:1]

    def add_maps(self, network: nn.Module, _inputs: Any, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Hook behind the network."""
        linear: Any = network.get_submodule(self._linear)
        return scores, F.conv2d(self._features.pop(), linear.weight[:, :, None, None])


def _require_same_scores(scores: Tensor, maps: Tensor, linear: Any, name: str) -> None:
    """The maps must add up: else something stands between pooling and head, or behind them."""
    added = maps.mean(dim=(2, 3)) + (0 if linear.bias is None else linear.bias)
    slack = _RELATIVE_TOLERANCE * float(scores.abs().max())
    if not torch.allclose(added, scores, rtol=_RELATIVE_TOLERANCE, atol=slack):
        raise _refused(f"{name}, whose head is more than that")


def _refused(got: str, expected: str = _HEAD) -> UsageError:
    return UsageError("Option --class-maps", got=got, expected=expected,
                      fix="Leave it out; the checkpoint can explain itself by Grad-CAM.")  # fmt: skip
