"""GPUs: NVIDIA's from its driver's own files, all others from the PCI bus."""

from __future__ import annotations

import re

from sdk.machine.files import Files
from sdk.machine.machine import Gpu

_NVIDIA = "10de"
_VENDORS = {_NVIDIA: "NVIDIA", "1002": "AMD", "8086": "Intel"}
_DISPLAY_CLASS = "0x03"

# Model names with CUDA's compute capability, after https://developer.nvidia.com/cuda-gpus. First match wins.
_CAPABILITIES = (
    (r"RTX [2-6]\d00 (SFF )?Ada|RTX 5880 Ada", "8.9"),
    (r"Quadro RTX", "7.5"),
    (r"RTX 50\d\d|RTX PRO [2-6]\d00 Blackwell|RTX PRO 6000", "12.0"),
    (r"GB10\b", "12.1"),
    (r"\bThor\b", "11.0"),
    (r"B300|GB300", "10.3"),
    (r"B200|GB200", "10.0"),
    (r"H100|H200|H800|H20\b|GH200", "9.0"),
    (r"RTX 40\d\d|\bL4\b|\bL40S?\b|\bL20\b", "8.9"),
    (r"\bOrin\b", "8.7"),
    (r"RTX 30\d\d|RTX A[2-6]\d?00|\bA10G?\b|\bA40\b|\bA16\b|\bA2\b|RTX 2050", "8.6"),
    (r"A100|A800|\bA30\b", "8.0"),
    (r"RTX 20\d\d|GTX 16\d\d|TITAN RTX|\bT4G?\b|\bT[1-6]\d?00\b", "7.5"),
    (r"V100|TITAN V\b|GV100", "7.0"),
    (r"GTX 10\d\d|TITAN Xp?\b|\bP4\b|\bP40\b|Quadro P", "6.1"),
    (r"P100", "6.0"),
)


def read_gpus(files: Files) -> tuple[Gpu, ...]:
    """GPUs below the root in bus order. Those without a driver are there too, by their PCI ids."""
    version = driver_version(files)
    named = {
        folder.split("/")[-1].lower(): files.fields(f"{folder}/information").get("Model", "")
        for folder in files.names("proc/driver/nvidia/gpus/*")
    }
    found = []
    for folder in sorted(files.names("sys/bus/pci/devices/*")):  # their numbers are hexadecimal
        address = folder.split("/")[-1].lower()
        vendor, device = (
            (files.text(f"{folder}/{name}") or "").removeprefix("0x") for name in ("vendor", "device")
        )
        if not (files.text(f"{folder}/class") or "").startswith(_DISPLAY_CLASS):
            continue
        driver = files.fields(f"{folder}/uevent").get("DRIVER")
        model = named.pop(address, "")
        if model:
            found.append(_nvidia(model, version, f"{vendor}:{device}"))
        else:
            maker = _VENDORS.get(vendor, "GPU")
            found.append(Gpu(f"{maker} {vendor}:{device}", driver, None, None, f"{vendor}:{device}"))
    # A container may show the driver's files without the bus.
    found += [_nvidia(model, version, None) for model in named.values() if model]
    return tuple(found)


def driver_version(files: Files) -> str | None:
    """Version of NVIDIA's kernel driver, such as ``550.54.15``; None where none is loaded."""
    line = (files.text("proc/driver/nvidia/version") or "").splitlines()[:1]
    found = re.search(r"\b(\d{3,}\.\d+(?:\.\d+)?)\b", line[0]) if line else None
    return found[1] if found else None


def capability_of(name: str) -> str | None:
    """CUDA compute capability by model name; None for a model that is not listed."""
    return next((capability for pattern, capability in _CAPABILITIES if re.search(pattern, name)), None)


def _nvidia(model: str, version: str | None, pci_id: str | None) -> Gpu:
    return Gpu(model, version, None, capability_of(model), pci_id)
