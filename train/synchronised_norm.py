"""Batch normalisation over the batch of all training processes, not over each one's part of it."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.plugins import LayerSync
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SynchronisedNorms(LayerSync):
    """Makes the batch normalisations of a module work over all processes while it trains.

    On a GPU with torch's `SyncBatchNorm`. That one refuses tensors on a CPU (torch 2.14), so that
    `SynchronisedNorm` stands in for it there.

    Args:
        accelerator: ``cpu`` or ``gpu``.
    """

    def __init__(self, accelerator: str) -> None:
        self._on_gpu = TorchSyncBatchNorm() if accelerator == "gpu" else None
        self._replaced: list[tuple[nn.Module, str, nn.Module]] = []

    def apply(self, model: nn.Module) -> nn.Module:
        """Put synchronised layers in; parameters and buffers stay the same objects under the same names."""
        if self._on_gpu is not None:
            return self._on_gpu.apply(model)
        made: dict[_BatchNorm, SynchronisedNorm] = {}
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, _BatchNorm) and not isinstance(child, SynchronisedNorm):
                    self._replaced.append((parent, name, child))
                    setattr(parent, name, made.setdefault(child, SynchronisedNorm(child)))
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Put the layers back that were there before."""
        if self._on_gpu is not None:
            return self._on_gpu.revert(model)
        for parent, name, child in self._replaced:
            child.train(getattr(parent, name).training)
            setattr(parent, name, child)
        self._replaced.clear()
        return model


class SynchronisedNorm(_BatchNorm):
    """A batch normalisation whose mean and variance are those of all processes' items together.

    Every process must have equally many: then the variance is as exact as that of one process with the whole
    batch, computed from the common mean (two exchanges, and two more on the way back).

    Args:
        source: Shares its parameters and buffers with this one.
    """

    def __init__(self, source: _BatchNorm) -> None:
        super().__init__(
            source.num_features,
            source.eps,
            source.momentum,
            affine=False,
            track_running_stats=False,
        )
        self.affine = source.affine
        self.track_running_stats = source.track_running_stats
        self._parameters = source._parameters
        self._buffers = source._buffers
        self.training = source.training

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 (torch's own name)
        del input

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own name)
        """As `nn.BatchNorm2d`'s, for (N, C, …) of any number of axes."""
        if not self.training and self.running_mean is not None:
            return super().forward(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        shape = [1, -1] + [1] * (input.ndim - 2)
        values = input.float()
        count = dist.get_world_size() * values.numel() // values.shape[1]
        mean = _SumOfAll.apply(values.sum(axes)) / count
        centred = values - mean.view(shape)
        variance = _SumOfAll.apply(centred.square().sum(axes)) / count
        self._track(mean.detach(), variance.detach(), count)
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        result = centred * scale.view(shape)
        if self.bias is not None:
            result = result + self.bias.view(shape)
        return result.to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics, the variance unbiased as torch does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        rate = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(variance * count / max(1, count - 1), rate)


class _SumOfAll(torch.autograd.Function):
    """The sum over all processes. Its gradient is the sum of theirs: each one's value went to all."""

    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total
