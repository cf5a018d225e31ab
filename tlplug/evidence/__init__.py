"""What a run records so that metrics can be computed, now or later, without the model."""

from tlplug.evidence.collect import collect
from tlplug.evidence.files import FOLDER, read, write
from tlplug.evidence.kept import FAILED, of_rows
from tlplug.evidence.measure import measure
from tlplug.evidence.probes import Probe, probes_of
from tlplug.evidence.recorder import RECORDED_FOR, Recorder, records

__all__ = [
    "FAILED",
    "FOLDER",
    "RECORDED_FOR",
    "Probe",
    "Recorder",
    "collect",
    "measure",
    "of_rows",
    "probes_of",
    "read",
    "records",
    "write",
]
