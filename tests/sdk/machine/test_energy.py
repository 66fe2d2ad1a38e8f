"""Energy readers on published sensor listings, with counters and rails that move."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdk.machine.energy import RailReader, open_energy_reader
from sdk.machine.files import Files
from sdk.machine.power_rails import find_rails, rails_of_tegrastats
from tests.sdk.machine.recorded import lay_out, put

PACKAGE, DRAM = "sys/class/powercap/intel-rapl:0", "sys/class/powercap/intel-rapl:0:2"
RANGE_UJ = 262143328850  # of the listing's package


def test_rapl_adds_package_and_memory(tmp_path: Path) -> None:
    root = lay_out("pc_no_gpu", tmp_path)
    reader = open_energy_reader(root)
    assert reader is not None
    assert reader.source == "RAPL package-0, dram"
    with reader:
        assert reader.joules() == 0
        put(root, f"{PACKAGE}/energy_uj", 26963529117 + 5_000_000)
        put(root, f"{DRAM}/energy_uj", 2469474853 + 250_000)
        assert reader.joules() == pytest.approx(5.25)
        put(root, f"{PACKAGE}/energy_uj", 26963529117 + 6_000_000)
    assert reader.joules() == pytest.approx(6.25)
    put(root, f"{PACKAGE}/energy_uj", 26963529117 + 99_000_000)
    assert reader.joules() == pytest.approx(6.25), "counted on after the block was left"
    with reader:
        assert reader.joules() == 0


def test_rapl_counter_starts_again(tmp_path: Path) -> None:
    root = lay_out("pc_no_gpu", tmp_path)
    put(root, f"{PACKAGE}/energy_uj", RANGE_UJ - 1_000_000)
    reader = open_energy_reader(root)
    assert reader is not None
    with reader:
        put(root, f"{PACKAGE}/energy_uj", 2_000_000)
        assert reader.joules() == pytest.approx(3.0)


def test_rapl_that_may_not_be_read_is_no_sensor(tmp_path: Path) -> None:
    root = lay_out("pc_no_gpu", tmp_path)
    for path in (root / "sys/class/powercap").rglob("energy_uj"):
        path.unlink()
        path.mkdir()  # reading it fails, as it does for a user who is not root
    assert open_energy_reader(root) is None


@pytest.mark.parametrize(
    ("device", "source", "watts"),
    [
        ("orin_nx_jetpack6", "power rail VDD_IN", 5.072 * 1.0),
        (
            "agx_orin_jetpack5",
            "power rails VDDQ_VDD2_1V8AO + VDD_CPU_CV + VDD_GPU_SOC + VIN_SYS_5V0",
            19.936 * 0.024 + 19.928 * 0.04 + 19.928 * 0.2 + 5.064 * 0.76,
        ),
        ("agx_thor_jetpack7", "power rail VIN", 23.4),
    ],
)
def test_rails_of_a_jetson(tmp_path: Path, device: str, source: str, watts: float) -> None:
    rails = find_rails(Files(lay_out(device, tmp_path)))
    assert rails is not None
    assert rails.source == source
    assert rails.watts() == pytest.approx(watts)
    reader = open_energy_reader(tmp_path)
    assert reader is not None
    with reader:
        pass
    assert reader.joules() >= 0
    assert reader.source == source


def test_thor_without_its_supply_sensor_adds_the_rails(tmp_path: Path) -> None:
    root = lay_out("agx_thor_jetpack7", tmp_path)
    (root / "sys/class/hwmon/hwmon5/power1_input").unlink()
    rails = find_rails(Files(root))
    assert rails is not None
    assert rails.watts() == pytest.approx(13.03, abs=0.01)  # the total that the listing shows


def test_rails_of_jetpack_4(tmp_path: Path) -> None:
    folder = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    for number, (name, milliwatts) in enumerate(
        (("POM_5V_IN", 1532), ("POM_5V_GPU", 40), ("POM_5V_CPU", 283))
    ):
        put(tmp_path, f"{folder}/rail_name_{number}", f"{name}\n")
        put(tmp_path, f"{folder}/in_power{number}_input", f"{milliwatts}\n")
    rails = find_rails(Files(tmp_path))
    assert rails is not None
    assert (rails.source, rails.watts()) == ("power rail POM_5V_IN", pytest.approx(1.532))


@pytest.mark.parametrize("device", ["raspberry_pi_5", "cloud_vm", "pc_nvidia"])
def test_machines_without_sensors_have_no_reader(tmp_path: Path, device: str) -> None:
    assert open_energy_reader(lay_out(device, tmp_path)) is None


def test_rail_power_is_added_up_over_time() -> None:
    powers: list[float | None] = [10.0, 10.0, 20.0, None, 20.0]
    times = [0.0, 1.0, 2.0, 2.5, 4.0]
    clock = iter(times)
    reader = RailReader("rail", lambda: powers.pop(0), clock=lambda: next(clock))
    reader._start()
    assert reader._spent() == pytest.approx(10.0)
    assert reader._spent() == pytest.approx(15.0)
    assert reader._spent() == 0.0
    assert reader._spent() == pytest.approx(40.0), "the gap of a failed reading is spanned"


@pytest.mark.parametrize(
    ("line", "rails"),
    [
        (
            "RAM 2464/7620MB (lfb 4x4MB) SWAP 0/3810MB (cached 0MB) CPU [1%@729,0%@729,off] "
            "GR3D_FREQ 0%@[305] cpu@45.5C tj@46C VDD_IN 5076mW/5076mW VDD_CPU_GPU_CV 559mW/559mW "
            "VDD_SOC 1479mW/1479mW",
            {"VDD_IN": 5.076, "VDD_CPU_GPU_CV": 0.559, "VDD_SOC": 1.479},
        ),
        (
            "RAM 3076/3964MB (lfb 1x2MB) CPU [12%@102,6%@102] EMC_FREQ 0% GR3D_FREQ 0% PLL@30C PMIC@100C "
            "POM_5V_IN 1532/1532 POM_5V_GPU 40/40 POM_5V_CPU 283/283",
            {"POM_5V_IN": 1.532, "POM_5V_GPU": 0.04, "POM_5V_CPU": 0.283},
        ),
        (
            "RAM 100/1000MB GR3D_FREQ 50%@[611,0] GPU@51.0C VIN_SYS_5V0 7000mW/6500mW "
            "VDD_GPU_SOC 4000mW/3900mW",
            {"VIN_SYS_5V0": 7.0, "VDD_GPU_SOC": 4.0},
        ),
        ("no rails here", {}),
    ],
    ids=["orin nano", "nano, jetpack 4", "agx orin", "none"],
)
def test_rails_of_tegrastats(line: str, rails: dict[str, float]) -> None:
    assert rails_of_tegrastats(line) == rails
