"""What machine this is, whether its clock held, what it spent: read from files alone, no engine imported."""

from sdk.machine.machine import Cpu, Gpu, Jetson, Machine
from sdk.machine.reading import read_machine

__all__ = ["Cpu", "Gpu", "Jetson", "Machine", "read_machine"]
