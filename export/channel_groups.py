"""Which channels of a network go together, how many stay, and their removal.

Channels are coupled: what one convolution no longer gives, every layer that reads it must no longer take,
and both sides of a residual addition keep the same ones. Torch-Pruning finds these groups by tracing the
network (Fang et al. 2023, "DepGraph: Towards Any Structural Pruning").
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from runtimes import UsageError

IMPORTANCES = ("magnitude", "taylor")
Loss = Callable[[nn.Module, Any], Mapping[str, Tensor]]
"""As `train.plan.Plan.loss`."""


@dataclass(frozen=True)
class ChannelGroup:
    """Output channels that can only be removed together.

    Attributes:
        root: Dotted name of the layer that stands for the group.
        members: All convolutions and linear layers whose outputs are among them, `root` first.
        channels: How many there are.
        multiple: Their number must be a multiple of this: the groups of a grouped convolution.
    """

    root: str
    members: tuple[str, ...]
    channels: int
    multiple: int = 1


def channel_groups(network: nn.Module, example: Tensor) -> list[ChannelGroup]:
    """The groups of a network, from input to output; its answers are in none of them.

    Args:
        network: Not changed.
        example: An input of batch 1.
    """
    network = copy.deepcopy(network).eval().requires_grad_(True)
    names = {module: name for name, module in network.named_modules()}
    with _quiet():
        pruner = _pruner(network, example, _no_importance, {})
        found = list(pruner.DG.get_all_groups(pruner.ignored_layers, pruner.root_module_types))
        groups = [_describe_group(pruner, group, names) for group in found]
    order = list(names.values())
    return sorted(groups, key=lambda group: order.index(group.root))


def target_widths(
    groups: Iterable[ChannelGroup], ratio: float, layer_ratios: Mapping[str, float], round_to: int
) -> dict[str, int]:
    """How many channels each group keeps, by its root.

    The number is rounded to the nearest multiple of `round_to`, which is what the engines' kernels like;
    groups that would keep fewer than that keep exactly what the ratio says. One channel always stays.

    Args:
        groups: Of the network as it was before any pruning.
        ratio: Share of channels to remove, 0..1.
        layer_ratios: The same for single layers by dotted name; it holds for the layer's whole group.
        round_to: Multiple of channels.

    Raises:
        UsageError: A layer that has no channels of its own to give, or two ratios for one group.
    """
    groups = list(groups)
    known = {member for group in groups for member in group.members}
    for name in layer_ratios:
        if name not in known:
            raise UsageError(
                f"Layer {name!r}",
                got="no layer whose channels can be removed",
                expected=f"one of {', '.join(sorted(known)[:6])}, …",
                fix="Take a name from this list; the last layer must keep its classes.",
            )
    return {group.root: _width(group, _ratio_of(group, ratio, layer_ratios), round_to) for group in groups}


def prune_to_widths(
    network: nn.Module,
    example: Tensor,
    widths: Mapping[str, int],
    *,
    importance: str = "magnitude",
    batches: Iterable[Any] = (),
    loss: Loss | None = None,
) -> nn.Module:
    """A copy of the network from which each group's least important channels were removed.

    Args:
        network: Not changed.
        example: An input of batch 1.
        widths: Channels to keep by root layer; more than there are keeps all.
        importance: ``magnitude``: the group's L2 norm. ``taylor``: how much the loss would change to first
            order, weight times gradient (Molchanov et al. 2019).
        batches: Training batches, for ``taylor``.
        loss: Of a batch, for ``taylor``.

    Raises:
        UsageError: An unknown importance, or nothing to take gradients from.
    """
    import torch_pruning

    if importance not in IMPORTANCES:
        raise UsageError("Option --importance", got=repr(importance),
                         expected=f"one of {', '.join(IMPORTANCES)}", fix="Correct it.")  # fmt: skip
    training = network.training
    pruned = copy.deepcopy(network).eval().requires_grad_(True)
    judge: Any = torch_pruning.importance.GroupMagnitudeImportance(p=2)
    if importance == "taylor":
        _collect_gradients(pruned, batches, loss)
        judge = torch_pruning.importance.GroupTaylorImportance()
    ratios = {
        module: 1.0
        - (widths[name] + 0.5) / _outputs(module)  # half a channel against rounding down to one less
        for name, module in pruned.named_modules()
        if name in widths and widths[name] < _outputs(module)
    }
    with _quiet():
        _pruner(pruned, example, judge, ratios).step()
    pruned.zero_grad(set_to_none=True)
    _require_same_answers(network, pruned, example)
    return pruned.train(training)


def count_macs(network: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates of one forward pass: convolutions and matrix products, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        copy.deepcopy(network).eval()(example)
    return counter.get_total_flops() // 2


def count_parameters(network: nn.Module) -> int:
    """Numbers that are learned."""
    return sum(parameter.numel() for parameter in network.parameters())


def _width(group: ChannelGroup, ratio: float, round_to: int) -> int:
    wanted = group.channels * (1.0 - ratio)
    step = max(round_to, group.multiple) if round_to % group.multiple == 0 else group.multiple
    if wanted < step:
        step = group.multiple
    return min(group.channels, max(group.multiple, step * round(wanted / step)))


def _ratio_of(group: ChannelGroup, ratio: float, layer_ratios: Mapping[str, float]) -> float:
    told = {name: layer_ratios[name] for name in group.members if name in layer_ratios}
    if len(set(told.values())) > 1:
        first, second = list(told)[:2]
        raise UsageError(
            f"Options --layer {first}={told[first]:g} and {second}={told[second]:g}",
            got="two ratios for channels that go together",
            expected="one",
            fix="Leave one of them out.",
        )
    return next(iter(told.values()), ratio)


def _describe_group(pruner: Any, group: Any, names: Mapping[nn.Module, str]) -> ChannelGroup:
    members = [
        names[dep.target.module]
        for dep, _ in group
        if isinstance(dep.target.module, (_ConvNd, nn.Linear))
        and pruner.DG.is_out_channel_pruning_fn(dep.handler)
    ]
    root = group[0].dep.target.module
    multiple = pruner._get_channel_groups(group)
    return ChannelGroup(names[root], tuple(dict.fromkeys(members)), _outputs(root), multiple)


def _pruner(network: nn.Module, example: Tensor, judge: Any, ratios: dict[nn.Module, float]) -> Any:
    import torch_pruning

    return torch_pruning.pruner.BasePruner(
        network,
        example,
        importance=judge,
        pruning_ratio=0.0,
        pruning_ratio_dict=ratios,
        ignored_layers=_last_layers(network, example),
        # Its defaults are dictionaries that all pruners would share and fill.
        in_channel_groups={},
        out_channel_groups={},
        num_heads={},
        root_module_types=[_ConvNd, nn.Linear],
    )


def _last_layers(network: nn.Module, example: Tensor) -> list[nn.Module]:
    """Layers whose outputs are the network's answers: the last ones on every path of the traced graph."""
    import torch_pruning

    graph = torch_pruning.DependencyGraph().build_dependency(network, example)
    last: list[nn.Module] = []
    waiting = [node for node in graph.module2node.values() if not node.outputs]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node.module, (_ConvNd, nn.Linear)):
            last.append(node.module)
        else:
            waiting += node.inputs
    return last


def _outputs(layer: nn.Module) -> int:
    return int(layer.out_channels if isinstance(layer, _ConvNd) else layer.out_features)  # type: ignore[arg-type]


def _no_importance(_group: Any) -> None:
    return None


def _collect_gradients(network: nn.Module, batches: Iterable[Any], loss: Loss | None) -> None:
    seen = 0
    for batch in batches:
        if loss is not None:
            loss(network, batch)["loss"].backward()
            seen += 1
    if not seen:
        raise UsageError("Importance 'taylor'", got="no batches or no loss", expected="both",
                         fix="Pass both, or use importance 'magnitude'.")  # fmt: skip


def _require_same_answers(network: nn.Module, pruned: nn.Module, example: Tensor) -> None:
    """Torch-Pruning is trusted with the graph, and checked."""
    with torch.no_grad():
        before, after = (copy.deepcopy(n).eval()(example) for n in (network, pruned))
    pairs = zip(*(out if isinstance(out, (tuple, list)) else (out,) for out in (before, after)), strict=True)
    for one, other in pairs:
        if one.shape != other.shape:
            raise UsageError(
                "Network",
                got=f"answers of shape {list(other.shape)} after pruning",
                expected=f"{list(one.shape)}",
                fix="Its last layers could not be told from the others: prune another network.",
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch-Pruning warns about parameters outside of layers, which it leaves alone, as it should."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Uu]nwrapped parameters.*")
        yield
