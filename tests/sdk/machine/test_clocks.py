"""`ClockWatch` on files that change while it looks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sdk.machine.clock_sources import Busyness, ClockSource, open_clock_sources
from sdk.machine.clocks import NO_CLOCK, ClockWatch
from sdk.machine.files import Files
from tests.sdk.machine.recorded import lay_out, put

INTERVAL_S = 0.002
DEADLINE_S = 20.0


def set_clock(root: Path, khz: int, cores: range = range(64)) -> None:
    for core in cores:
        name = f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq"
        if (root / name).exists():
            put(root, name, khz)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the watch took no sample"
        time.sleep(INTERVAL_S)


def more_samples(watch: ClockWatch, count: int = 12) -> None:
    wanted = watch.verdict().samples + count
    wait_for(lambda: watch.verdict().samples >= wanted)


def clocks(*values: float, trusted: bool = True) -> ClockSource:
    rest = list(values)
    source = ClockSource("clock", lambda: rest.pop(0), trusted=trusted)
    for _ in values:
        source.sample(busy=True)
    return source


def test_clock_that_holds(tmp_path: Path) -> None:
    root = lay_out("pc_no_gpu", tmp_path)
    set_clock(root, 3_700_000)
    with ClockWatch(root, INTERVAL_S) as watch:
        more_samples(watch)
    verdict = watch.verdict()
    assert verdict.throttled is False
    assert verdict.reason == "the clock held (3700 to 3700 MHz)"
    assert verdict.source == "CPU clock (cpufreq)"
    assert verdict.temperature_max_c == 61.0
    assert verdict.samples > 12
    assert set(verdict.to_dict()) == {
        "throttled", "reason", "lowest_mhz", "highest_mhz", "samples", "temperature_max_c", "source",
        "steal_share",
    }  # fmt: skip


def test_clock_that_falls(tmp_path: Path) -> None:
    root = lay_out("pc_no_gpu", tmp_path)
    set_clock(root, 4_000_000)
    with ClockWatch(root, INTERVAL_S) as watch:
        more_samples(watch)
        set_clock(root, 2_000_000)
        put(root, "sys/class/thermal/thermal_zone0/temp", 97000)
        more_samples(watch)
    verdict = watch.verdict()
    assert verdict.throttled is True
    assert verdict.reason == "CPU clock (cpufreq) fell from 4000 to 2000 MHz"
    assert (verdict.lowest_mhz, verdict.highest_mhz, verdict.temperature_max_c) == (2000.0, 4000.0, 97.0)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((1000, 1000, 1000, 1000, 1000, 3000, 3000, 3000, 3000, 3000), None),
        ((3000, 3000, 3000, 400, 3000, 3000, 3000, 3000, 3000, 3000), None),
        ((3000, 2950, 2900, 2850, 2800, 2750, 2750, 2750), None),
        (
            (4800, 4800, 4800, 4800, 4800, 4200, 4200, 4200, 4200, 4200),
            "clock fell from 4800 to 4200 MHz",
        ),
        ((3000, 3000), None),
        ((), None),
    ],
    ids=["rises", "one odd reading", "turbo's steps", "falls", "too few", "none"],
)
def test_fall_is_of_the_smoothed_clock(values: tuple[float, ...], reason: str | None) -> None:
    assert clocks(*values).fall(0.9, 5) == reason


def test_only_the_busy_count(tmp_path: Path) -> None:
    source = ClockSource("clock", lambda: 400.0)
    source.sample(busy=False)
    assert (source.samples, source.moves, source.extent(5)) == (0, True, (None, None))


def test_waiting_cores_may_be_slow(tmp_path: Path) -> None:
    root = lay_out("pc_no_gpu", tmp_path)
    set_clock(root, 400_000, range(1, 64))
    [source] = open_clock_sources(Files(root))
    source.sample(busy=True)
    assert source.extent(5) == (3700.012, 3700.012)


def test_virtual_machine_shows_no_clock(tmp_path: Path) -> None:
    root = lay_out("cloud_vm", tmp_path)
    with ClockWatch(root, INTERVAL_S) as watch:
        time.sleep(20 * INTERVAL_S)
    verdict = watch.verdict()
    assert (verdict.throttled, verdict.reason) == (None, NO_CLOCK)
    assert (verdict.lowest_mhz, verdict.samples, verdict.source) == (None, 0, "none")


def test_cpuinfo_counts_where_it_moves(tmp_path: Path) -> None:
    root = lay_out("cloud_vm", tmp_path)
    text = (root / "proc/cpuinfo").read_text()
    with ClockWatch(root, INTERVAL_S) as watch:
        wait_for(lambda: watch._sources[0].samples > 8)
        put(root, "proc/cpuinfo", text.replace("2596.148", "1800.000"))
        wait_for(lambda: watch._sources[0].samples > 24)
    assert watch.verdict().reason == "CPU clock (/proc/cpuinfo) fell from 2596 to 1800 MHz"


def test_thermal_counter_that_grows(tmp_path: Path) -> None:
    root = lay_out("pc_no_gpu", tmp_path)
    with ClockWatch(root, INTERVAL_S) as watch:
        put(root, "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", 15)
    verdict = watch.verdict()
    assert verdict.throttled is True
    assert verdict.reason.startswith("3 thermal throttling events (sys/devices/system/cpu/cpu0/")


def test_over_current_of_a_jetson(tmp_path: Path) -> None:
    root = lay_out("orin_nx_jetpack6", tmp_path)
    put(root, "sys/class/hwmon/hwmon2/oc1_event_cnt", 0)
    with ClockWatch(root, INTERVAL_S) as watch:
        put(root, "sys/class/hwmon/hwmon2/oc1_event_cnt", 2)
    assert watch.verdict().reason.startswith("2 over-current events")


def test_raspberry_pi_throttles_for_a_moment(tmp_path: Path) -> None:
    root = lay_out("raspberry_pi_5", tmp_path)
    put(root, "sys/devices/platform/soc/soc:firmware/get_throttled", "0\n")
    set_clock(root, 2_400_000)
    with ClockWatch(root, INTERVAL_S) as watch:
        more_samples(watch)
        assert watch.verdict().throttled is False
        # Between two readings: only the memory of it is left.
        put(root, "sys/devices/platform/soc/soc:firmware/get_throttled", "80000\n")
    assert watch.verdict().reason == "Raspberry Pi firmware: soft temperature limit"


@pytest.mark.parametrize("device", ["orin_nx_jetpack6", "agx_orin_jetpack5", "agx_thor_jetpack7"])
def test_gpu_clock_counts_while_the_gpu_works(tmp_path: Path, device: str) -> None:
    root = lay_out(device, tmp_path)
    names = [source.name for source in open_clock_sources(Files(root))]
    folder = next((root / "sys/class/devfreq").glob("*g*"))
    assert names[0] == "CPU clock (cpufreq)"
    assert len(names) == 2, names
    gpu = open_clock_sources(Files(root))[1]
    gpu.sample(busy=False)
    has_load = device != "agx_thor_jetpack7"
    assert gpu.samples == (0 if has_load else 1)
    assert folder.exists()
    if has_load:
        load = "device/load" if device == "orin_nx_jetpack6" else None
        put(
            root,
            f"sys/class/devfreq/{folder.name}/{load}" if load else "sys/devices/platform/gpu.0/load",
            950,
        )
        gpu.sample(busy=False)
        assert gpu.samples == 1
        assert gpu.extent(5) == (306.0, 306.0)


def test_busyness_reads_proc_stat(tmp_path: Path) -> None:
    root = lay_out("cloud_vm", tmp_path)
    busyness = Busyness(Files(root))
    assert busyness.worked()  # nothing has passed: nothing can be told
    put(root, "proc/stat", "cpu  2712341 514213 306419 3309355 18234 0 3309 5108 0 0\ncpu0 1\ncpu1 1\n")
    assert not busyness.worked()
    put(root, "proc/stat", "cpu  2712441 514213 306419 3309355 18234 0 3309 5208 0 0\ncpu0 1\ncpu1 1\n")
    assert busyness.worked()
    assert busyness.steal_share() == pytest.approx(100 / 400)
    (root / "proc/stat").unlink()
    assert busyness.steal_share() is None


def test_watch_of_this_machine_ends_its_thread() -> None:
    with ClockWatch(interval_s=INTERVAL_S) as watch:
        pass
    assert watch._thread is None
    assert watch.verdict().reason
