"""What says that a machine runs below its clock: firmware flags, alarms, counters; and its temperatures."""

from __future__ import annotations

from sdk.machine.files import Files

PI_FLAGS = "sys/devices/platform/soc/soc:firmware/get_throttled"
# Bits 0 to 3 of the firmware's answer: what holds now. The same bits from 16 on: what has held since boot.
# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
_PI_BITS = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
_PI_NOW = 0xF

_ALARMS = "sys/class/thermal/cooling_device*"
_ALARM_TYPES = ("throttle-alert", "hot-surface-alert")
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower")
_COUNTERS = (
    "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count",
    "sys/class/hwmon/hwmon*/oc[0-9]*_event_cnt",
)


def pi_flags(files: Files) -> int | None:
    """The Raspberry Pi firmware's word, in hexadecimal in its file; None on other machines."""
    return files.integer(PI_FLAGS, 16)


def pi_reason(flags: int) -> str | None:
    """What of it holds now, in words."""
    held = [name for bit, name in _PI_BITS.items() if flags >> bit & 1]
    return f"Raspberry Pi firmware: {', '.join(held)}" if held else None


def pi_held_since_boot(flags: int) -> str | None:
    """What of it has held at some time since boot, in words."""
    held = [name for bit, name in _PI_BITS.items() if flags >> (bit + 16) & 1]
    return ", ".join(held) or None


def throttled_now(files: Files) -> str | None:
    """Why the machine runs below its clock at this moment; None: nothing says so."""
    return Alarms(files).ringing()


class Alarms:
    """The places that say it, looked up once so that they can be read often."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._has_pi_flags = files.exists(PI_FLAGS)
        folders = files.names("sys/class/hwmon/hwmon*")
        self._supplies = [
            f"{folder}/in0_lcrit_alarm" for folder in folders if files.text(f"{folder}/name") == "rpi_volt"
        ]
        kinds = {folder: files.text(f"{folder}/type") or "" for folder in files.names(_ALARMS)}
        self._alerts = {
            f"{folder}/cur_state": kind for folder, kind in kinds.items() if kind.endswith(_ALARM_TYPES)
        }

    def ringing(self) -> str | None:
        """The first that holds now, in words; None: none does."""
        flags = pi_flags(self._files) if self._has_pi_flags else None
        if flags is not None and flags & _PI_NOW:
            return pi_reason(flags)
        if any(self._files.integer(name) for name in self._supplies):
            return "Raspberry Pi supply: under-voltage"
        held = (kind for name, kind in self._alerts.items() if (self._files.integer(name) or 0) > 0)
        return next((f"thermal alarm {kind}" for kind in held), None)


def throttle_counters(files: Files) -> dict[str, int]:
    """Events since boot by file: thermal throttling of Intel cores, over-current of a Jetson's rails."""
    found = {}
    for pattern in _COUNTERS:
        for name in files.names(pattern):
            value = files.integer(name)
            if value is not None:
                found[name] = value
    return found


def read_temperatures(files: Files) -> dict[str, float]:
    """Degrees Celsius by sensor: thermal zones by type, and a PC's CPU sensors by chip and label."""
    return Thermometers(files).read()


class Thermometers:
    """The sensors, looked up once so that they can be read often."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._sensors: dict[str, str] = {}
        for folder in files.names("sys/class/thermal/thermal_zone*"):
            self._add(files.text(f"{folder}/type"), f"{folder}/temp")
        for folder in files.names("sys/class/hwmon/hwmon*"):
            chip = files.text(f"{folder}/name")
            for name in files.names(f"{folder}/temp*_input") if chip in _CPU_SENSORS else ():
                label = files.text(name.replace("_input", "_label")) or name.rpartition("/")[2]
                self._add(f"{chip} {label}", name)

    def read(self) -> dict[str, float]:
        """Degrees Celsius by sensor, without those that give no answer or an impossible one.

        Sensors of parts that are switched off answer with an error, or with a value far below anything real.
        """
        found = {}
        for name, file in self._sensors.items():
            millidegrees = self._files.integer(file)
            if millidegrees is not None and -60_000 < millidegrees < 200_000:
                found[name] = millidegrees / 1000
        return found

    def _add(self, name: str | None, file: str) -> None:
        if name:
            same = sum(key == name or key.startswith(f"{name} #") for key in self._sensors)
            self._sensors[f"{name} #{same + 1}" if same else name] = file
