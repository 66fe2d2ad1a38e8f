"""A Jetson's power rails: INA3221 and INA238 sensors in sysfs, and lines of tegrastats."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sdk.machine.files import Files

# The rail that feeds all others, by board: Orin Nano and NX, Xavier NX; Nano; TX2; Thor.
TOTAL_RAILS = ("VDD_IN", "POM_5V_IN", "VIN")
_CHIPS = ("ina3221", "ina238", "ina226", "ina219")


@dataclass(frozen=True)
class Rails:
    """The rails whose power is to be added up.

    Attributes:
        source: Which they are, in words.
        readers: For each rail, its power in watts, or None for a failed reading.
    """

    source: str
    readers: tuple[Callable[[], float | None], ...]

    def watts(self) -> float | None:
        """Their power together; None if one did not answer."""
        values = [read() for read in self.readers]
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None


def find_rails(files: Files) -> Rails | None:
    """The rails of the board below the root; None where it measures none."""
    found = {**_iio_rails(files), **_hwmon_rails(files)}
    working = {name: read for name, read in found.items() if read() is not None}
    if not working:
        return None
    total = next((name for name in TOTAL_RAILS if name in working), None)
    chosen = [total] if total else sorted(working)
    text = f"power rail {total}" if total else f"power rails {' + '.join(chosen)}"
    return Rails(text, tuple(working[name] for name in chosen))


def rails_of_tegrastats(line: str) -> dict[str, float]:
    """Watts by rail of one line that `tegrastats` prints.

    Since JetPack 5 ``VDD_IN 5076mW/5076mW``, now and average; before, ``POM_5V_IN 1532/1532``, in mW.
    """
    pattern = (
        r"\b((?:VDD|VIN|POM|SYS|CPU|GPU|SOC|CV|VDDRQ|VDDQ|NC)[A-Z0-9_]*) (\d+)(?:mW)?/\d+(?:mW)?(?!\w|%|@)"
    )
    return {name: int(power) / 1000 for name, power in re.findall(pattern, line)}


def _hwmon_rails(files: Files) -> dict[str, Callable[[], float | None]]:
    """Linux's hwmon interface, JetPack 5 and later: millivolts times milliamperes, or microwatts."""
    found: dict[str, Callable[[], float | None]] = {}
    for folder in files.names("sys/class/hwmon/hwmon*"):
        if files.text(f"{folder}/name") not in _CHIPS:
            continue
        for name in files.names(f"{folder}/in[0-9]*_label"):
            number = re.findall(r"in(\d+)_label$", name)[0]
            label = files.text(name) or ""
            if label in ("", "NC") or label.lower().startswith("sum"):
                continue
            volts, amperes = f"{folder}/in{number}_input", f"{folder}/curr{number}_input"
            found[label] = _product(files, volts, amperes)
        if files.exists(f"{folder}/power1_input"):
            label = files.text(f"{folder}/power1_label") or files.text(f"{folder}/label") or "VIN"
            found[label] = _scaled(files, f"{folder}/power1_input", 1e-6)
    return found


def _iio_rails(files: Files) -> dict[str, Callable[[], float | None]]:
    """The interface of JetPack 4: a name and milliwatts for each rail."""
    found: dict[str, Callable[[], float | None]] = {}
    for name in files.names("sys/bus/i2c/drivers/ina3221x/*/iio:device*/rail_name_[0-9]*"):
        label = files.text(name) or ""
        if label and label != "NC":
            found[label] = _scaled(files, re.sub(r"rail_name_(\d+)$", r"in_power\1_input", name), 1e-3)
    return found


def _product(files: Files, millivolts: str, milliamperes: str) -> Callable[[], float | None]:
    def read() -> float | None:
        volts, amperes = files.integer(millivolts), files.integer(milliamperes)
        return None if volts is None or amperes is None else volts * amperes / 1e6

    return read


def _scaled(files: Files, name: str, unit_w: float) -> Callable[[], float | None]:
    def read() -> float | None:
        value = files.integer(name)
        return None if value is None else value * unit_w

    return read
