"""Evidence as it comes in, and why some of it does not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tlplug.evidence.collect import BASELINE

PROBABILITIES = "source_probabilities"
FAILED = "it could not be recorded"
"""How a reason begins that another try may do away with."""

log = logging.getLogger(__name__)


@dataclass
class Kept:
    """What has been recorded."""

    reasons: dict[str, str] = field(default_factory=dict)
    """Evidence that there is not -> why."""
    evidence: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def reported(self, *names: str) -> Iterator[None]:
        """A failure is a reason."""
        try:
            yield
        except Exception as error:
            # Evidence stands beside hours of training; a fault of it must not cost the run.
            log.exception("%s could not be recorded", ", ".join(names))
            self.reasons |= dict.fromkeys(names, f"{FAILED}: {type(error).__name__}: {error}")


def of_rows(name: str) -> bool:
    """Whether evidence is of the rows that the model was looked at with, not of the test or of the weights."""
    kind, _, rest = name.partition("/")
    if kind == "predictions":
        return "/" in rest and not rest.startswith(f"{BASELINE}/")
    return kind in ("features", "nll", "scores", "classes", PROBABILITIES)
