"""NVIDIA Jetson: board, chip, Jetson Linux and JetPack releases, power mode."""

from __future__ import annotations

import re

from sdk.machine.files import Files
from sdk.machine.machine import Gpu, Jetson

MODEL = "proc/device-tree/model"
RELEASE = "etc/nv_tegra_release"
_DPKG = "var/lib/dpkg/status"

# Chip: CUDA architecture, GPU generation.
_CHIPS = {
    "tegra210": ("sm_53", "Maxwell"),
    "tegra186": ("sm_62", "Pascal"),
    "tegra194": ("sm_72", "Volta"),
    "tegra234": ("sm_87", "Ampere"),
    "tegra264": ("sm_110", "Blackwell"),
}
# https://developer.nvidia.com/embedded/jetpack-archive, as github.com/rbonghi/jetson_stats keeps it in
# jtop/core/jetson_variables.py. 36.4.7 is an update of packages within JetPack 6.2.1.
_JETPACK_OF_L4T = {
    "32.7.1": "4.6.1",
    "32.7.2": "4.6.2",
    "32.7.3": "4.6.3",
    "32.7.4": "4.6.4",
    "32.7.5": "4.6.5",
    "32.7.6": "4.6.6",
    "34.1": "5.0 DP",
    "34.1.1": "5.0.1 DP",
    "35.1": "5.0.2",
    "35.2.1": "5.1",
    "35.3.1": "5.1.1",
    "35.4.1": "5.1.2",
    "35.5": "5.1.3",
    "35.6": "5.1.4",
    "35.6.1": "5.1.5",
    "35.6.2": "5.1.5",
    "35.6.4": "5.1.6",
    "36.2": "6.0 DP",
    "36.3": "6.0",
    "36.4": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "36.5": "6.2.2",
    "38.2": "7.0",
    "38.2.1": "7.0",
    "38.4": "7.1",
    "39.2": "7.2",
    "39.2.1": "7.2.1",
}


def read_jetson(files: Files) -> Jetson | None:
    """The Jetson below the root; None where there is no Jetson Linux and no Tegra chip."""
    # Also there: "nvidia,tegra23x", the family.
    chips = re.findall(r"nvidia,(tegra\d{3})", files.text("proc/device-tree/compatible") or "")
    l4t = _l4t(files)
    if not l4t and not chips:
        return None
    soc = chips[0] if chips else "unknown"
    return Jetson(
        model=files.text(MODEL) or "NVIDIA Jetson",
        soc=soc,
        l4t=l4t or "unknown",
        jetpack=package_version(files, "nvidia-jetpack") or jetpack_of(l4t or ""),
        power_mode=_power_mode(files),
        cuda_architecture=_CHIPS.get(soc, ("", ""))[0],
    )


def jetson_gpu(jetson: Jetson) -> Gpu:
    """The GPU inside the chip."""
    generation = _CHIPS.get(jetson.soc, ("", ""))[1]
    digits = jetson.cuda_architecture.removeprefix("sm_")
    capability = f"{digits[:-1]}.{digits[-1]}" if digits else None
    name = f"{jetson.soc} {generation}".strip()
    return Gpu(name, f"L4T {jetson.l4t}", None, capability)


def jetpack_of(l4t: str) -> str | None:
    """The JetPack that carries a release of Jetson Linux; None where it is not known."""
    short = re.sub(r"(\.0)+$", "", l4t)
    return _JETPACK_OF_L4T.get(short)


def fastest_mode(files: Files) -> int | None:
    """The number of nvpmodel's mode without a power limit; None where its configuration has none."""
    found: dict[str, str] = {name: number for number, name in _power_modes(files)}
    number = found.get("MAXN_SUPER", found.get("MAXN"))
    return None if number is None else int(number)


def _power_modes(files: Files) -> list[tuple[str, str]]:
    """Number and name of each mode."""
    text = files.text("etc/nvpmodel.conf") or ""
    return re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", text)


def _l4t(files: Files) -> str | None:
    """Such as ``36.4.3``, from ``# R36 (release), REVISION: 4.3, …``, else from the package that holds it."""
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", files.text(RELEASE) or "")
    if found:
        return f"{found[1]}.{found[2]}"
    return package_version(files, "nvidia-l4t-core")


def package_version(files: Files, package: str) -> str | None:
    """The version of an installed Debian package without its build number: ``6.2+b77`` is ``6.2``."""
    status = files.text(_DPKG) or ""
    found = re.search(rf"^Package: {re.escape(package)}\n(?:.+\n)*?Version: (\S+)", status, re.MULTILINE)
    return re.split(r"[+-]", found[1])[0] if found else None


def _power_mode(files: Files) -> str | None:
    """Name of nvpmodel's mode: its status file has the number, its configuration the names."""
    status = re.search(r"pmode:0*(\d+)", files.text("var/lib/nvpmodel/status") or "")
    if not status:
        return None
    by_number = dict(_power_modes(files))
    return by_number.get(status[1], f"mode {status[1]}")
