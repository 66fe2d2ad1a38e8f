"""The description of a machine: what `edgewright doctor` shows and benchmark reports record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Cpu:
    """The processor.

    Attributes:
        model: As the kernel names it; on Arm the kind of core, such as ``Cortex-A78AE``.
        cores: Logical cores that the kernel has.
        usable_cores: Those that this process may use, by affinity and container quota (rounded up).
        governor: cpufreq governor of the first core; None where the kernel shows none.
        frequencies_mhz: Current clock of each core; empty where the kernel shows none.
        max_mhz: Highest clock of any core that the kernel allows at present.
        features: Instruction sets that decide the speed of networks, such as ``avx512_vnni``, ``asimddp``.
    """

    model: str
    cores: int
    usable_cores: int
    governor: str | None
    frequencies_mhz: tuple[float, ...]
    max_mhz: float | None
    features: tuple[str, ...]


@dataclass(frozen=True)
class Jetson:
    """What is particular to an NVIDIA Jetson.

    Attributes:
        model: Of the board, as its device tree says.
        soc: Such as ``tegra234``.
        l4t: Release of Jetson Linux, such as ``36.4.3``.
        jetpack: The JetPack of that release; None where it is not known.
        power_mode: Name of nvpmodel's mode, such as ``MAXN_SUPER``; None where it is not recorded.
        cuda_architecture: Such as ``sm_87``; empty for a chip that is not known.
    """

    model: str
    soc: str
    l4t: str
    jetpack: str | None
    power_mode: str | None
    cuda_architecture: str


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        name: Its model, or vendor and PCI ids where no driver names it.
        driver: Name or version of its kernel driver; None: no driver has it.
        memory_bytes: Its own memory; None where files do not tell, or where it shares the main memory.
        compute_capability: CUDA's, such as ``8.9``; None for other vendors and models that are not known.
        pci_id: Vendor and device, such as ``10de:2684``; None off the PCI bus.
    """

    name: str
    driver: str | None
    memory_bytes: int | None
    compute_capability: str | None
    pci_id: str | None = None


@dataclass(frozen=True)
class Machine:
    """One machine, as its own files describe it.

    Attributes:
        name: Of the board, or the CPU's model.
        architecture: ``x86_64``, ``aarch64``, ``armv7l``.
        cpu: The processor.
        memory_bytes: Main memory.
        swap_bytes: Swap, zram included.
        system: Name of the distribution.
        kernel: Release of the kernel.
        jetson: None for every other machine.
        gpus: GPUs of any vendor.
        container: ``docker``, ``podman``, ``kubernetes``, ``lxc``; None outside of one.
        virtual: Whether this is a virtual machine.
        throttled: Why the machine runs below its clock right now; None: nothing says so.
        temperatures_c: Degrees Celsius by sensor.
    """

    name: str
    architecture: str
    cpu: Cpu
    memory_bytes: int
    swap_bytes: int
    system: str
    kernel: str
    jetson: Jetson | None
    gpus: tuple[Gpu, ...]
    container: str | None
    virtual: bool
    throttled: str | None
    temperatures_c: dict[str, float]

    @property
    def machine_class(self) -> str:
        """What must be equal for two recorded latencies to be comparable, in words.

        Architecture, CPU or board, usable cores, NVIDIA GPUs with their driver's major version, the major
        release of Jetson Linux, power mode and governor. Not the temperature, and not the current clock.
        """
        parts = [self.architecture, self.name]
        if self.cpu.model not in self.name:
            parts.append(self.cpu.model)
        parts.append(f"{self.cpu.usable_cores} core{'s' * (self.cpu.usable_cores != 1)}")
        if self.jetson:
            parts.append(f"L4T {self.jetson.l4t.split('.')[0]}")
            parts += [f"mode {self.jetson.power_mode}"] * bool(self.jetson.power_mode)
        else:
            parts += [gpu.name for gpu in self.gpus if gpu.compute_capability or _is_nvidia(gpu)]
        parts += [f"governor {self.cpu.governor}"] * bool(self.cpu.governor)
        return " | ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON, `machine_class` included. Keys are the attributes' names and stay."""
        tree = asdict(self)
        tree["machine_class"] = self.machine_class
        tree["cpu"] = {**tree["cpu"], "frequencies_mhz": list(self.cpu.frequencies_mhz)}
        tree["cpu"]["features"] = list(self.cpu.features)
        tree["gpus"] = list(tree["gpus"])
        return tree


def _is_nvidia(gpu: Gpu) -> bool:
    return gpu.driver is not None and (gpu.pci_id or "").startswith("10de:")
