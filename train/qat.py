"""Quantisation-aware training: the network's graph with the rounding of INT8 in it.

torchao's prepared graph holds the very parameters and buffers of the network under their own names, and fake
quantisation where XNNPACK will quantise. Training it moves the weights to where rounding costs little;
what is saved is the plain network, which is exported and calibrated like any other.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from runtimes import UsageError
from train.quantizer import make_quantizer, quiet

if TYPE_CHECKING:
    from sdk.spec import Spec
    from train.options import TrainOptions
    from train.plan import Plan

SMALLEST_GAMMA = 1e-6
"""The prepared graph divides by a batch normalisation's weight, which a fresh residual block has at zero."""
_LARGEST_BATCH = 2**20


class QuantisationAware(nn.Module):
    """A network under fake quantisation.

    Args:
        network: In any mode; copied, not changed.
        example: What it takes, with a batch of at least two.
        granularity: Of weight scales.
        weight_bits: 8, or 4 or 3 for harsher ranges.
        keep: Dotted names of modules that stay in fp32.

    Raises:
        EngineMissingError: executorch or torchao is not installed.
    """

    def __init__(
        self,
        network: nn.Module,
        example: tuple[Tensor, ...],
        *,
        granularity: str = "per-channel",
        weight_bits: int = 8,
        keep: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        quantizer = make_quantizer(granularity, qat=True, weight_bits=weight_bits, keep=keep)
        network = copy.deepcopy(network).train()
        _lift_zero_gammas(network)
        self._graph_trains: bool | None = None  # not set up yet
        # In a tuple, so that its tensors are no part of this module's state.
        self._plain = (copy.deepcopy(network),)
        with quiet():
            self.graph = _prepare(network, example, quantizer)
            _measure_weights(self.graph, example)
        # Whether observers are on is part of the state, and an epoch's is written after validation.
        self.register_load_state_dict_post_hook(_forget_mode)

    def forward(self, *inputs: Tensor) -> Any:
        """What the network gives, rounded as INT8 would."""
        # Not in `train`: Lightning sets the flag alone when it returns from validation.
        if self.training != self._graph_trains:
            with quiet():
                self.graph.train(self.training)
            self._observe(self.training)
            self._graph_trains = self.training
        return self.graph(*inputs)

    def train(self, mode: bool = True) -> QuantisationAware:
        """Set the mode; the graph follows at the next call."""
        self.training = mode
        return self

    def parameter_of(self, name: str) -> nn.Parameter:
        """The parameter that the network calls `name`."""
        return self.graph.get_parameter(name)

    def plain_state_dict(self) -> dict[str, Tensor]:
        """The state dict of the network itself: its keys, its order, the weights as trained."""
        state = self.graph.state_dict()
        return {name: state[name].detach() for name in self._plain[0].state_dict()}

    def plain(self) -> nn.Module:
        """The network itself with the present weights, without fake quantisation, in eval mode."""
        network = copy.deepcopy(self._plain[0])
        network.load_state_dict(self.plain_state_dict())
        return network.eval()

    def _observe(self, enabled: bool) -> None:
        """Ranges stand still while the network is judged."""
        from torchao.quantization.pt2e import disable_observer, enable_observer

        self.graph.apply(enable_observer if enabled else disable_observer)


def with_quantisation(plan: Plan, options: TrainOptions) -> Plan:
    """The plan with its network under fake quantisation where the options say so.

    Raises:
        EngineMissingError: executorch or torchao is not installed.
        UsageError: A part of the network is frozen, or it takes something else than pictures of one size.
    """
    if options.qat is None:
        return plan
    network = plan.network
    if not all(parameter.requires_grad for parameter in network.parameters()):
        raise UsageError("Option --qat", got="it with --freeze", expected="a network that trains as a whole",
                         fix="Leave --freeze out, or use --freeze discriminative.")  # fmt: skip
    example = _example(plan.spec)
    granularity, weight_bits = options.qat_granularity, options.qat_weight_bits
    aware = QuantisationAware(network, example, granularity=granularity, weight_bits=weight_bits)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = [
        # What the loss learns itself is no part of the network, and stays.
        replace(
            group,
            parameters=tuple(
                aware.parameter_of(names[id(p)]) if id(p) in names else p for p in group.parameters
            ),
        )
        for group in plan.groups
    ]
    facts = {**plan.facts, "qat": {"granularity": granularity, "weight_bits": weight_bits}}
    return replace(plan, network=aware, groups=groups, facts=facts)


def _example(spec: Spec) -> tuple[Tensor, ...]:
    """Two items of zeros for the one graph of a network."""
    inputs = spec.graph().inputs
    fixed = all(isinstance(extent, int) for info in inputs for extent in info.shape[1:])
    takes = ", ".join(str(info) for info in inputs)
    if len(spec.graphs) > 1 or not fixed or any(info.dtype != "float32" for info in inputs):
        raise UsageError(
            "Option --qat",
            got=f"a network of {len(spec.graphs)} graph{'s' * (len(spec.graphs) > 1)} that takes {takes}",
            expected="one graph with floating-point inputs of one size",
            fix="Use --precision int8-dynamic on export: it needs no training.",
        )
    return tuple(torch.zeros(2, *map(int, info.shape[1:])) for info in inputs)  # type: ignore[arg-type]


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """What a checkpoint holds of a network: its state dict, without what fake quantisation added."""
    return network.plain_state_dict() if isinstance(network, QuantisationAware) else network.state_dict()


def network_with(network: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    """The network with a checkpoint's weights, itself again where it was under fake quantisation."""
    if isinstance(network, QuantisationAware):
        network = network.plain()
    network.load_state_dict(weights)
    return network


def _prepare(network: nn.Module, example: tuple[Tensor, ...], quantizer: Any) -> Any:
    from torchao.quantization.pt2e import allow_exported_model_train_eval
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

    batch = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    shapes = tuple({0: batch} for _ in example)
    program = torch.export.export(network, example, dynamic_shapes=shapes)
    prepared = prepare_qat_pt2e(program.module(), quantizer)
    _stop_counting(prepared)
    return allow_exported_model_train_eval(prepared)


def _measure_weights(graph: nn.Module, example: tuple[Tensor, ...]) -> None:
    """Give weights their scales, so that the network can be judged before it is trained."""
    from torchao.quantization.pt2e import FakeQuantize, disable_observer

    graph.eval()
    graph.apply(disable_observer)
    for module in graph.modules():
        # Exactly this class: activations have a subclass of it, and an example says nothing about them.
        if type(module) is FakeQuantize:
            module.enable_observer()
    with torch.no_grad():
        graph(*example)


def _stop_counting(prepared: Any) -> None:
    """Take out the counters of batches: the graph would advance them while it is judged as well."""
    for node in list(prepared.graph.nodes):
        counts = node.op == "call_function" and node.target is torch.ops.aten.add_.Tensor
        if counts and str(node.args[0].target).endswith("num_batches_tracked"):
            prepared.graph.erase_node(node)
    prepared.recompile()


def _forget_mode(module: nn.Module, _incompatible: Any) -> None:
    module._graph_trains = None


def _lift_zero_gammas(network: nn.Module) -> None:
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.weight is not None:
                weight = module.weight
                weight.copy_(torch.where(weight.abs() < SMALLEST_GAMMA, SMALLEST_GAMMA, weight))
