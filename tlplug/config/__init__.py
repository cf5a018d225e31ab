"""From the words of a command line to a typed, checked job."""

from tlplug.config.build import STREAMS, Job, build, domain_of
from tlplug.config.compose import Composer
from tlplug.config.metrics import metrics_again, metrics_of
from tlplug.config.reopen import Finished, job_again, plugin_names, reopen
from tlplug.config.schema import RootConfig
from tlplug.config.sweep_words import SweepWords, sweep_words
from tlplug.config.versions import version_warnings, warn_of_versions

__all__ = [
    "STREAMS",
    "Composer",
    "Finished",
    "Job",
    "RootConfig",
    "SweepWords",
    "build",
    "domain_of",
    "job_again",
    "metrics_again",
    "metrics_of",
    "plugin_names",
    "reopen",
    "sweep_words",
    "version_warnings",
    "warn_of_versions",
]
