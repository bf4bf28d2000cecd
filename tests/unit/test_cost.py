"""What work uses is measured, and priced by the settings alone."""

import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from modelyard.cost import usage as cost
from modelyard.cost.meters import GpuMeter, PackageMeter, busy_seconds, cpu_seconds
from modelyard.cost.usage import figures, gpu_hour, measure, price
from modelyard.settings.cost import CostSettings
from modelyard.store.usage import Usage

BUSY = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass"

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def work(seconds: float) -> None:
    """Keeps a core at work for so many seconds of its own time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_busy_loop_is_measured_in_the_cpu_time_that_it_took():
    with measure() as meter:
        work(0.4)
    used = meter.stop()
    assert used.cpu_seconds == pytest.approx(0.4, abs=0.2)
    assert used.wall_seconds >= 0.39 / (
        os.cpu_count() or 1
    )  # other threads of this process may work beside
    assert used.gpu_seconds == {}


def test_sleeping_takes_wall_time_and_no_cpu():
    with measure() as meter:
        time.sleep(0.3)
    assert 0.29 <= meter.stop().wall_seconds < 5
    assert meter.stop().cpu_seconds < 0.1


def test_the_cpu_time_of_a_child_that_ended_counts():
    with measure() as meter:
        subprocess.run([sys.executable, "-c", BUSY.format(seconds=0.4)], check=True)
    assert meter.stop().cpu_seconds >= 0.39


def test_a_stopped_meter_keeps_its_figures():
    with measure() as meter:
        work(0.05)
        first = meter.stop()
        work(0.1)
    assert meter.stop() == first


@LINUX
def test_the_peak_holds_what_this_process_took_and_gave_back():
    """In a process of its own: where a peak cannot be begun anew, an earlier one stays."""
    code = (
        "from modelyard.cost.usage import measure\n"
        "with measure() as before:\n    pass\n"
        "with measure() as meter:\n"
        "    block = bytearray(200_000_000)\n"
        "    block[::4096] = b'x' * len(block[::4096])\n"
        "    del block\n"
        "print(meter.stop().peak_memory_bytes - before.stop().peak_memory_bytes)"
    )
    grown = int(subprocess.check_output([sys.executable, "-c", code]))
    assert 150e6 < grown < 260e6


def test_the_peak_holds_a_living_child_too():
    code = "b = bytearray(150_000_000); b[::4096] = b'x' * len(b[::4096]); print('ready', flush=True); input()"
    with measure() as before:
        pass
    with measure() as meter:
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        used = meter.stop()
        child.communicate(b"\n")
    assert used.peak_memory_bytes - before.stop().peak_memory_bytes > 120e6


def powercap(folder, **energies: int):
    """A tree such as Linux shows: packages, and a core domain that a package's counter already
    holds."""
    for name, energy in energies.items():
        domain = folder / ("intel-rapl:" + name.removeprefix("p").replace("_", ":"))
        domain.mkdir(exist_ok=True)
        (domain / "energy_uj").write_text(f"{energy}\n")
        (domain / "max_energy_range_uj").write_text("999999999\n")
    return folder


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Sets how long the cores of this machine have worked, in hundredths of a second."""

    def worked(ticks: int) -> None:
        (tmp_path / "stat").write_text(f"cpu {ticks} 0 0 5000 0 0 0 0 0 0\n")

    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    worked(0)
    return worked


@LINUX
def test_energy_of_all_packages_is_summed_by_our_part_of_the_busy_time(tmp_path, machine):
    meter = PackageMeter(powercap(tmp_path, p0=1_000_000, p1=0, p0_0=0))
    powercap(tmp_path, p0=31_000_000, p1=10_000_000, p0_0=25_000_000)
    machine(1000)
    assert busy_seconds() == 10.0
    assert meter.joules(cpu=10.0) == pytest.approx(40.0)
    assert meter.joules(cpu=2.5) == pytest.approx(10.0)


@LINUX
def test_an_energy_counter_that_began_again_is_counted_on(tmp_path, machine):
    meter = PackageMeter(powercap(tmp_path, p0=999_000_000))
    powercap(tmp_path, p0=500_000)
    meter.look()
    powercap(tmp_path, p0=400_000)  # all the way round once more, seen by the sampling
    machine(100)
    assert meter.joules(cpu=1.0) == pytest.approx((1_500_000 + 999_900_000) / 1e6)


def test_a_machine_without_counters_tells_no_energy(tmp_path):
    assert PackageMeter(tmp_path).joules(1.0) is None


class Driver:
    """Speaks as NVIDIA's management library does: two GPUs, 5 J more at each look at the first
    one."""

    class NVMLError(Exception):
        pass

    def __init__(self):
        self.millijoules = 0
        self.used = {"handle 0": 500_000_000, "handle 1": 500_000_000}

    def work(self, *handles):
        for handle in handles:
            self.used[handle] += 400_000_000

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802
        return SimpleNamespace(used=self.used[handle])

    def nvmlDeviceGetCount(self):  # noqa: N802 - the library's own name
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return f"handle {index}"

    def nvmlDeviceGetUUID(self, handle):  # noqa: N802
        return f"GPU-uuid-{handle[-1]}"

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return "NVIDIA H200"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        if handle == "handle 1":
            raise self.NVMLError
        self.millijoules += 5000
        return self.millijoules


def test_gpus_that_were_given_and_worked_are_counted_with_their_energy(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver = Driver()
    meter, others = GpuMeter(2, driver), GpuMeter(0, driver)
    driver.work("handle 0", "handle 1")
    assert meter.held() == {"NVIDIA H200": 2}
    assert meter.joules() == pytest.approx(10.0)
    assert others.held() == {}


def test_a_gpu_that_was_given_and_did_nothing_costs_nothing(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver = Driver()
    meter = GpuMeter(2, driver)
    driver.used["handle 0"] += 1_000_000  # the driver's own
    assert meter.held() == {}
    assert meter.joules() is None
    driver.work("handle 1")
    assert meter.held() == {"NVIDIA H200": 1}


def test_a_gpu_whose_work_has_ended_is_still_counted(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver = Driver()
    meter = GpuMeter(1, driver)
    driver.work("handle 0")
    meter.look()
    driver.used["handle 0"] = 0
    assert meter.held() == {"NVIDIA H200": 1}


def test_only_visible_gpus_count(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    driver = Driver()
    meter = GpuMeter(2, driver)
    driver.work("handle 0", "handle 1")
    assert meter.held() == {"NVIDIA H200": 1}
    assert meter.joules() is None


USED = Usage(
    wall_seconds=1800,
    cpu_seconds=7200,
    gpu_seconds={"NVIDIA H200": 3600, "NVIDIA A10": 1800},
    energy_joules={"cpu": 1.8e6, "gpu": 5.4e6},
    memory_gb_seconds=36000,
    peak_memory_bytes=20_000_000_000,
)


def test_the_price_is_the_one_that_a_person_computes():
    settings = CostSettings(
        cpu_core_hour=0.04, memory_gb_hour=0.005, gpu_hour={"*h200*": 3.0, "*": 1.0}, kwh=0.3
    )
    found = price(USED, settings)
    assert found.parts == pytest.approx(
        {"cpu": 0.08, "memory": 0.05, "energy": 0.6, "gpu": 3.0 + 0.5}
    )
    assert found.amount == pytest.approx(4.23)
    assert (found.currency, found.unpriced) == ("EUR", [])


def test_what_has_no_price_is_told_and_never_invented():
    found = price(USED, CostSettings(cpu_core_hour=0.04, gpu_hour={"*a10*": 1.0}))
    assert found.amount == pytest.approx(0.08 + 0.5)
    assert found.unpriced == ["memory", "energy", "gpu NVIDIA H200"]
    assert price(USED, CostSettings()).amount is None


def test_the_first_pattern_that_fits_a_gpu_counts():
    assert gpu_hour("NVIDIA H100 80GB HBM3", {"*H100*": 2.5, "*": 1.0}) == 2.5
    assert gpu_hour("NVIDIA L4", {"*H100*": 2.5}) is None


def test_usages_add_up_and_the_peak_is_the_highest():
    both = USED + Usage(
        wall_seconds=200, cpu_seconds=300, gpu_seconds={"NVIDIA A10": 10}, peak_memory_bytes=5
    )
    assert (both.wall_seconds, both.cpu_seconds, both.peak_memory_bytes) == (
        2000,
        7500,
        20_000_000_000,
    )
    assert both.gpu_seconds == {"NVIDIA H200": 3600, "NVIDIA A10": 1810}
    assert both.kwh == pytest.approx(2.0)
    assert Usage().kwh is None


def test_a_job_on_other_machines_is_paid_by_what_it_held():
    held = Usage.reserved(
        600, nodes=2, cores=4, memory_bytes=8_000_000_000, gpus=8, gpu="NVIDIA H200"
    )
    with measure() as meter:
        cost.add(held)
    used = meter.stop()
    assert used.gpu_seconds == {"NVIDIA H200": 9600}
    assert used.cpu_seconds == pytest.approx(4800, abs=0.5)
    assert used.memory_gb_seconds == pytest.approx(9600, abs=1)
    assert used.wall_seconds < 60


def test_what_ranks_leave_is_collected_as_work_done_at_once(tmp_path):
    code = (
        "from pathlib import Path\nfrom modelyard.cost import usage as cost\nwith cost.leave(Path({file!r})):\n    "
        + BUSY.format(seconds=0.2).replace("\n", "\n    ")
    )
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", code.format(file=str(tmp_path / f"cost-{rank}.json"))]
        )
        for rank in range(2)
    ]
    assert [one.wait() for one in ranks] == [0, 0]
    left = [json.loads(file.read_text()) for file in tmp_path.glob("cost-*.json")]
    used = cost.collect(tmp_path)
    assert used.cpu_seconds == pytest.approx(0.4, abs=0.25)
    assert used.wall_seconds == max(one["wall_seconds"] for one in left)
    assert used.peak_memory_bytes == sum(one["peak_memory_bytes"] for one in left)


def test_the_figures_for_tracking_leave_out_what_is_unknown():
    found = figures(
        Usage(wall_seconds=1, cpu_seconds=3600), price(Usage(cpu_seconds=3600), CostSettings())
    )
    assert found["cost_cpu_core_hours"] == 1.0
    assert not {"cost_price", "cost_energy_kwh"} & set(found)


def test_cpu_seconds_never_fall():
    first = cpu_seconds()
    work(0.02)
    assert cpu_seconds() > first


def test_trials_side_by_side_can_be_given_a_gpu_each(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert GpuMeter(0, Driver()).uuids == ["uuid-1", "uuid-0"]
