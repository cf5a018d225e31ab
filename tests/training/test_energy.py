"""Energy from the counters of the processor, as Linux shows them, and of an NVIDIA GPU."""

import logging
import os
from types import SimpleNamespace

import pynvml
import pytest
import torch

from tlplug.training.cost import EnergyMeter, warn_of_unmeasured_energy


def zone(folder, name, joules, limit=1000.0, kind="package-0"):
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
    (folder / name / "name").write_text(f"{kind}\n")
    (folder / name / "max_energy_range_uj").write_text(f"{round(limit * 1e6)}\n")


def test_sockets_are_added_and_their_parts_are_not_counted_twice(tmp_path):
    for name, joules in (("intel-rapl:0", 5.0), ("intel-rapl:1", 7.0)):
        zone(tmp_path, name, joules)
    zone(tmp_path, "intel-rapl:0:0", 2.0, kind="core")
    zone(tmp_path, "intel-rapl:2", 3.0, kind="psys")
    meter = EnergyMeter(tmp_path)
    meter.start()
    zone(tmp_path, "intel-rapl:0", 9.5)
    zone(tmp_path, "intel-rapl:1", 8.0)
    zone(tmp_path, "intel-rapl:0:0", 900.0, kind="core")
    zone(tmp_path, "intel-rapl:2", 500.0, kind="psys")
    assert meter.joules() == pytest.approx(5.5)


def test_a_counter_that_begins_anew_is_counted_on(tmp_path):
    zone(tmp_path, "intel-rapl:0", 990.0)
    meter = EnergyMeter(tmp_path)
    meter.start()
    zone(tmp_path, "intel-rapl:0", 20.0)
    assert meter.joules() == pytest.approx(30.0)


def test_a_machine_that_does_not_tell_has_no_figure(tmp_path):
    meter = EnergyMeter(tmp_path)
    meter.start()
    assert meter.joules() is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_counter_that_may_not_be_read_is_none(tmp_path):
    zone(tmp_path, "intel-rapl:0", 1.0)
    (tmp_path / "intel-rapl:0" / "energy_uj").chmod(0)
    assert EnergyMeter(tmp_path).counters == []


def test_a_counter_that_was_not_started_has_no_figure(tmp_path):
    zone(tmp_path, "intel-rapl:0", 1.0)
    assert EnergyMeter(tmp_path).joules() is None


def test_several_turns_are_counted_where_it_is_asked_in_between(tmp_path):
    zone(tmp_path, "intel-rapl:0", 0.0)
    meter = EnergyMeter(tmp_path)
    meter.start()
    for joules in (600.0, 200.0, 800.0, 400.0):
        zone(tmp_path, "intel-rapl:0", joules)
        meter.tick()
    assert meter.joules() == pytest.approx(2400.0)


def test_a_counter_that_goes_away_leaves_no_figure(tmp_path):
    zone(tmp_path, "intel-rapl:0", 0.0)
    meter = EnergyMeter(tmp_path)
    meter.start()
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert meter.joules() is None


class StandInDriver:
    """NVIDIA's driver, with one GPU whose counter stands at so many millijoules."""

    def __init__(self, monkeypatch):
        self.millijoules, self.fault = 5_000, None
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="1-2"))
        monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", {b"GPU-1-2": "the GPU"}.__getitem__)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", self.read)

    def read(self, handle):
        assert handle == "the GPU"
        if self.fault is not None:
            raise pynvml.NVMLError(self.fault)
        return self.millijoules


def test_the_gpu_s_joules_are_added_to_the_processor_s(tmp_path, monkeypatch):
    driver = StandInDriver(monkeypatch)
    zone(tmp_path, "intel-rapl:0", 1.0)
    meter = EnergyMeter(tmp_path)
    meter.start()
    driver.millijoules += 2_500
    zone(tmp_path, "intel-rapl:0", 4.0)
    assert meter.joules() == pytest.approx(5.5)


def test_a_gpu_without_a_counter_is_warned_of_once_and_leaves_no_figure(tmp_path, monkeypatch, caplog):
    driver = StandInDriver(monkeypatch)
    driver.fault = pynvml.NVML_ERROR_NOT_SUPPORTED
    zone(tmp_path, "intel-rapl:0", 1.0)
    warn_of_unmeasured_energy.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            meter = EnergyMeter(tmp_path)
            meter.start()
            assert meter.joules() is None
    assert [record.getMessage() for record in caplog.records] == [
        "Energy is not measured, because the GPU's counter cannot be read: Not Supported"
    ]


def test_a_gpu_that_is_lost_while_it_trains_leaves_no_figure(tmp_path, monkeypatch):
    driver = StandInDriver(monkeypatch)
    meter = EnergyMeter(tmp_path)
    meter.start()
    driver.fault = pynvml.NVML_ERROR_GPU_IS_LOST
    meter.tick()
    assert meter.joules() is None
