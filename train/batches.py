"""Batches for validation, test and golden samples: always through the spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from runtimes import MAIN_GRAPH, Array, EdgewrightError
from sdk.kinds import Call, OutputKind, Sample
from sdk.spec import Graph, Spec
from train.distributed import World
from train.tasks.base import Split


class Failure:
    """An error on its way from a worker process to where it can be raised as itself."""

    def __init__(self, error: EdgewrightError) -> None:
        self.error = error


class SpecBatch:
    """Items that the spec loaded, stacked as the network takes them.

    Attributes:
        arrays: Tensors by graph input name.
        samples: What `OutputKind.read` needs. No tensors: they stay on the host.
        targets: What is true of each.
    """

    def __init__(self, arrays: dict[str, Tensor], samples: list[Sample], targets: list[Any]) -> None:
        self.arrays = arrays
        self.samples = samples
        self.targets = targets

    def to(self, device: torch.device, non_blocking: bool = False) -> SpecBatch:
        """The batch with its tensors on `device`. Lightning calls this."""
        moved = {name: tensor.to(device, non_blocking=non_blocking) for name, tensor in self.arrays.items()}
        return SpecBatch(moved, self.samples, self.targets)


class _SpecSet(Dataset[Any]):
    def __init__(self, spec: Spec, split: Split) -> None:
        self._spec = spec
        self._split = split

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, row: int) -> tuple[Sample, Any] | Failure:
        try:
            return self._spec.input.load(self._split.items[row]), self._split.targets[row]
        except EdgewrightError as error:
            return Failure(error)

    def collate(self, items: list[Any]) -> SpecBatch | Failure:
        """Stack through the spec."""
        failure = first_failure(items)
        if failure is not None:
            return failure
        samples = [sample for sample, _ in items]
        arrays = self._spec.input.batch(samples, self._spec.baked)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return SpecBatch(tensors, samples, [target for _, target in items])


def spec_loader(spec: Spec, split: Split, batch_size: int, num_workers: int) -> DataLoader[Any]:
    """Batches of a split in order, preprocessed by the spec and by nothing else."""
    items = _SpecSet(spec, split)
    # Its own generator: drawing the workers' seed from the global one would change what training draws.
    return DataLoader(
        items,
        batch_size,
        **World.of_environment().loading(num_workers),
        collate_fn=items.collate,
        generator=torch.Generator().manual_seed(0),
    )


def forward_batch(network: nn.Module, spec: Spec, batch: SpecBatch) -> dict[str, Tensor]:
    """What the graphs give for a batch, by name; floats in 32 bit.

    Where one call of the first graph is all there is to it, gradients can flow; where the output kind has a
    loop of its own, that very loop runs over the network's methods.
    """
    if type(spec.output).run is OutputKind.run:
        return _call(network, spec.graph(), batch.arrays)
    arrays = {name: tensor.cpu().numpy() for name, tensor in batch.arrays.items()}
    found = spec.output.run(graph_caller(network, spec), arrays)
    return {name: torch.from_numpy(array) for name, array in found.items()}


def graph_caller(network: nn.Module, spec: Spec) -> Call:
    """What `OutputKind.run` calls, for a network that is not an artifact yet: its graphs are its methods."""
    device = next(network.parameters()).device

    def call(name: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
        # Torch may not write to what numpy may not either.
        tensors = {k: torch.from_numpy(a if a.flags.writeable else a.copy()) for k, a in arrays.items()}
        found = _call(network, spec.graph(name), {k: tensor.to(device) for k, tensor in tensors.items()})
        return {k: out.detach().cpu().numpy() for k, out in found.items()}

    return call


def _call(network: nn.Module, graph: Graph, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    method = network if graph.name == MAIN_GRAPH else getattr(network, graph.name)
    result = method(*(tensors[info.name] for info in graph.inputs))
    outputs = result if isinstance(result, (tuple, list)) else (result,)
    return {
        info.name: out.float() if out.is_floating_point() else out
        for info, out in zip(graph.outputs, outputs, strict=True)
    }


def activated(spec: Spec, outputs: Mapping[str, Tensor]) -> dict[str, Array]:
    """Activated outputs as numpy, as the device computes them."""
    return spec.activated({name: out.detach().cpu().numpy() for name, out in outputs.items()})


def predict_split(
    network: nn.Module, spec: Spec, split: Split, batch_size: int, num_workers: int
) -> list[Any]:
    """A result per item of a split, through the spec, in 32 bit, with the network in eval mode."""
    results: list[Any] = []
    spec = spec.measuring()
    for batch, outputs in _run(network, spec, split, batch_size, num_workers):
        results += spec.output.read(activated(spec, outputs), batch.samples)
    return results


def raw_outputs_of_split(
    network: nn.Module, spec: Spec, split: Split, batch_size: int, num_workers: int
) -> dict[str, Array]:
    """What the network itself gives for a split, by name: float32 (V, N, …) for V views of N items."""
    views = spec.input.rows_per_item(spec.baked)
    parts: dict[str, list[Array]] = {}
    for _, outputs in _run(network, spec, split, batch_size, num_workers):
        for name, output in outputs.items():
            rows = output.cpu().numpy()
            parts.setdefault(name, []).append(rows.reshape(views, -1, *rows.shape[1:]))
    return {name: np.concatenate(found, axis=1) for name, found in parts.items()}


def outputs_of_items(network: nn.Module, spec: Spec, items: Sequence[Any]) -> dict[str, Array]:
    """Activated outputs (N, …) for a few items."""
    split = Split("items", items, [None] * len(items), (), "")
    parts = [activated(spec, outputs) for _, outputs in _run(network, spec, split, len(items), 0)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def first_failure(items: list[Any]) -> Failure | None:
    """The first failure among loaded items."""
    return next((item for item in items if isinstance(item, Failure)), None)


def require_loaded(batch: Any) -> Any:
    """The batch, unless loading it failed.

    Raises:
        EdgewrightError: What went wrong, as it was raised.
    """
    if isinstance(batch, Failure):
        raise batch.error
    return batch


def _run(
    network: nn.Module, spec: Spec, split: Split, batch_size: int, num_workers: int
) -> Iterator[tuple[SpecBatch, dict[str, Tensor]]]:
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        for loaded in spec_loader(spec, split, batch_size, num_workers):
            batch = require_loaded(loaded).to(device)
            yield batch, forward_batch(network, spec, batch)
