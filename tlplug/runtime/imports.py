"""Import libraries without what a run does not use."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from threading import Lock

DISABLE_DYNAMO = "TORCHDYNAMO_DISABLE"
LOCK = Lock()
"""Without it, a second thread would take the first one's value of the variable for the user's."""


def import_without_dynamo(name: str) -> None:
    """Import a library without compiling the functions that it decorates with `torch.compile`.

    transformers' schedules import peft, and peft imports bitsandbytes, which decorates two functions for devices without
    kernels of its own. The decorator imports torch's compiler: 3 CPU seconds, 45 MB. Later calls of `torch.compile` are
    not affected.
    """
    with LOCK:
        if name in sys.modules:
            return
        before = os.environ.get(DISABLE_DYNAMO)
        os.environ[DISABLE_DYNAMO] = "1"
        try:
            import_module(name)
        finally:
            del os.environ[DISABLE_DYNAMO]
            if before is not None:
                os.environ[DISABLE_DYNAMO] = before
