"""Bake image preprocessing: uint8 NHWC in; colour order, layout, cast and normalisation in the graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from runtimes import Dim, TensorInfo
from sdk.inputs.image import VIEWS, ImageInput
from sdk.spec import Spec

_CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.convolution.default)


class ImagePrelude(nn.Module):
    """uint8 (N, H, W, C) to what the network takes: ``(x - shift) * factor``, float32 (N, C, H, W).

    `factor` is None when the first convolution's weights have absorbed it, `shift` when it is zero or its
    bias has absorbed that. With several `views` the result is (V * N, C, H, W), the first view first.
    """

    def __init__(
        self, flip: bool, shift: Tensor | None, factor: Tensor | None, views: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.flip = flip
        self.views = views
        self.register_buffer("shift", shift)
        self.register_buffer("factor", factor)

    def forward(self, image: Tensor) -> Tensor:
        """Convert one batch."""
        # Cast before moving axes: TensorRT has no transpose of uint8.
        x = image.to(torch.float32)
        if x.shape[-1] == 1:
            # One channel: the same memory in either layout, so no copy is needed.
            x = x.reshape(x.shape[0], 1, x.shape[1], x.shape[2])
        else:
            x = x.permute(0, 3, 1, 2).contiguous()
        if self.flip:
            x = x.flip(1)
        if self.shift is not None:
            x = x - self.shift
        if self.factor is not None:
            x = x * self.factor
        if self.views == ("identity",):
            return x
        # The spec counts axes in NHWC.
        seen = [tuple(axis + 1 for axis in VIEWS[view]) for view in self.views]
        return torch.cat([x.flip(axes) if axes else x for axes in seen])


def bake_input(
    network: nn.Module, spec: Spec, fold: bool
) -> tuple[nn.Module, nn.Module, tuple[TensorInfo, ...]]:
    """The prelude, the network (changed in place where it absorbed something), and the graph's inputs.

    Normalisation ``(x * scale - mean) / std`` is ``(x - shift) * factor`` with ``shift = mean / scale`` and
    ``factor = scale / std``. Multiplying the first convolution's weights by `factor` is exact: its zero
    padding stands for the same value before and after. Moving `shift` into its bias is exact only without
    padding, since a padded zero would then stand for another grey level.
    """
    image = spec.input
    assert isinstance(image, ImageInput)
    mean, std = torch.tensor(image.mean, dtype=torch.float64), torch.tensor(image.std, dtype=torch.float64)
    shift, factor = mean / image.scale, image.scale / std
    convolution = _first_convolution(network, image) if fold else None
    keep_shift, keep_factor = bool(shift.abs().max() > 0), True
    if convolution is not None:
        keep_shift &= not _absorb(convolution, shift, factor)
        keep_factor = False
    prelude = ImagePrelude(
        image.channels == "bgr",
        _per_channel(shift) if keep_shift else None,
        _per_channel(factor) if keep_factor else None,
        image.views,
    )
    # Not the input's size: pictures of any size have open axes here.
    name, (_, _, height, width) = spec.graph().inputs[0].name, spec.graph().inputs[0].shape
    info = TensorInfo(name, "uint8", (Dim(), height, width, image.channel_count))
    return prelude, network, (info,)


def _per_channel(values: Tensor) -> Tensor:
    return values.to(torch.float32).reshape(1, -1, 1, 1)


def _first_convolution(network: nn.Module, image: ImageInput) -> nn.Conv2d | None:
    """The convolution that is the only reader of the network's input; None when there is no such thing."""
    width, height = image.size_wh
    example = torch.zeros(2, image.channel_count, height, width)
    program = torch.export.export(network, (example,))
    taken = next(
        node
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in program.graph_signature.user_inputs
    )
    readers = list(taken.users)
    if len(readers) != 1 or readers[0].target not in _CONVOLUTIONS or readers[0].args[0] is not taken:
        return None
    weight = readers[0].args[1]
    name = program.graph_signature.inputs_to_parameters.get(weight.name)
    if name is None or len(weight.users) != 1:
        return None
    module = network.get_submodule(name.rpartition(".")[0])
    plain = isinstance(module, nn.Conv2d) and module.groups == 1 and module.padding_mode == "zeros"
    return module if plain else None


def _absorb(convolution: nn.Conv2d, shift: Tensor, factor: Tensor) -> bool:
    """Scale the weights; move the shift into the bias where exact. Says whether the shift was moved."""
    with torch.no_grad():
        scaled = convolution.weight.to(torch.float64) * factor.reshape(1, -1, 1, 1)
        convolution.weight.copy_(scaled)
        if convolution.bias is None or tuple(convolution.padding) != (0, 0):
            return False
        moved = (scaled * shift.reshape(1, -1, 1, 1)).sum(dim=(1, 2, 3))
        convolution.bias.copy_(convolution.bias.to(torch.float64) - moved)
    return True
