"""Energy from the processor's counters, as Linux shows them."""

import os

import pytest

from tlplug.training.cost import EnergyMeter


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
