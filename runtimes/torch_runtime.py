"""`.safetensors` in torch eager: the checkpoint itself, and the reference that parity is measured against."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from runtimes.base import MAIN_GRAPH, Array, Program, Runtime, threads_or_error
from runtimes.errors import DeviceError, EngineError, EngineMissingError, UsageError, first_line

if TYPE_CHECKING:
    from runtimes.layer_times import Lap

NETWORKS = "edgewright.networks"
"""Entry-point group: each entry is a callable that takes keyword arguments and returns a torch module."""


class TorchRuntime(Runtime):
    """A network rebuilt from its builder's name and its safetensors weights; pickle is never read.

    Args:
        program: A safetensors file, with `network`, `inputs` and `outputs` declared. Graph ``main`` is the
            module's forward; another graph is the module's method of that name.
        device: Where torch runs it, such as ``cpu`` or ``cuda:0``.
        threads: torch's threads inside one operator; None leaves the process's setting. It is a setting of
            the whole process.

    Raises:
        EngineMissingError: torch or safetensors is not installed.
        DeviceError: The device is not there.
        EngineError: No builder of that name, or the weights do not fit its network.
    """

    name = "torch"
    concurrent = True

    def __init__(self, program: Program, *, device: str = "cpu", threads: int | None = None) -> None:
        super().__init__()
        torch = _import_torch()
        if threads_or_error(threads) is not None:
            torch.set_num_threads(threads)
        self._device = _device(torch, device)
        network = self._network = load_network(program).to(self._device)
        self._call = network if program.graph == MAIN_GRAPH else getattr(network, program.graph)
        self.inputs, self.outputs = program.inputs, program.outputs
        self._version = torch.__version__

    @property
    def network(self) -> Any:
        """The `torch.nn.Module` itself, for what arrays cannot tell, such as gradients."""
        return self._network

    def report(self) -> dict[str, Any]:
        """Engine, version and device."""
        return {"engine": self.name, "version": self._version, "device": str(self._device)}

    def _run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        import torch

        tensors = [torch.from_numpy(a if a.flags.writeable else a.copy()) for a in inputs.values()]
        with torch.inference_mode():
            result = self._call(*(tensor.to(self._device) for tensor in tensors))
        outputs = result if isinstance(result, (tuple, list)) else (result,)
        return {
            info.name: output.cpu().numpy().copy() for info, output in zip(self.outputs, outputs, strict=True)
        }

    def _profile(self, inputs: dict[str, Array], runs: int) -> list[Lap]:
        from runtimes.torch_profile import profile_modules

        return profile_modules(self._network, self._device, lambda: self._run(inputs), runs)

    def _close(self) -> None:
        del self._call, self._network


def load_network(program: Program) -> Any:
    """The network of a checkpoint with its weights, as a `torch.nn.Module` in eval mode on the CPU.

    Raises:
        EngineError: No builder of that name, or the weights do not fit its network.
    """
    network = build_network(program.network or {}).eval()
    _load_weights(network, program.data)
    return network


def build_network(network: Any) -> Any:
    """Build the network that ``{"name": …, "arguments": …}`` describes, with fresh weights.

    Raises:
        EngineError: No installed package declares a builder of that name, or it refuses the arguments.
    """
    name = network.get("name")
    found = {entry.name: entry for entry in entry_points(group=NETWORKS)}
    if name not in found:
        raise EngineError(
            f"Network {name!r}",
            got="no builder of that name",
            expected=f"one of {sorted(found)}",
            fix=f"Install the package that declares it in the entry-point group {NETWORKS!r}.",
        )
    try:
        return found[name].load()(**network["arguments"])
    except (TypeError, ValueError, ImportError) as error:
        raise EngineError(
            f"Network {name!r}",
            got=first_line(error),
            expected="arguments its builder takes",
            fix="Use the version that wrote the checkpoint.",
        ) from error


def _load_weights(network: Any, data: bytes) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        network.load_state_dict(load(data))
    except (RuntimeError, SafetensorError, ValueError) as error:
        raise EngineError(
            "Checkpoint",
            got=" ".join(str(error).split())[:200],
            expected="the weights of the network that it names",
            fix="Use the version that wrote the checkpoint.",
        ) from error


def _import_torch() -> Any:
    try:
        import safetensors.torch  # noqa: F401
        import torch
    except ImportError as error:
        raise EngineMissingError(
            "Engine torch",
            got=f"no usable package ({first_line(error)})",
            expected="torch and safetensors, which open .safetensors",
            fix="Run: pip install 'edgewright[train]'.",
        ) from error
    return torch


def _device(torch: Any, name: str) -> Any:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            "Option 'device'",
            got=repr(name),
            expected="a torch device such as 'cpu' or 'cuda:0'",
            fix="Correct its name.",
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "torch",
            got="no usable CUDA device",
            expected=f"{name!r}",
            fix="Use device='cpu', or install the driver.",
        )
    return device
