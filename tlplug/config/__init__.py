"""From the words of a command line to a typed, checked job."""

from tlplug.config.build import STREAMS, Job, build, domain_of
from tlplug.config.compose import Composer
from tlplug.config.metrics import metrics_again, metrics_of
from tlplug.config.reopen import Finished, job_again, reopen
from tlplug.config.schema import RootConfig

__all__ = [
    "STREAMS",
    "Composer",
    "Finished",
    "Job",
    "RootConfig",
    "build",
    "domain_of",
    "job_again",
    "metrics_again",
    "metrics_of",
    "reopen",
]
