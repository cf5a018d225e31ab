"""Imports that would bring more than the run uses."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from threading import Lock

VARIABLE = "TORCHDYNAMO_DISABLE"
ONE_AT_A_TIME = Lock()
"""Of two threads, the second would take the first one's setting for the user's."""


def import_uncompiled(name: str) -> None:
    """Import a library; functions that it hands to `torch.compile` as it defines them stay as they are.

    transformers' schedules import peft, and peft imports bitsandbytes, which has two functions compiled for devices that it
    has no kernels for. To ask for that is to import torch's compiler: 3 CPU seconds, 45 MB. What is handed to
    `torch.compile` later is compiled.
    """
    with ONE_AT_A_TIME:
        if name in sys.modules:
            return
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = "1"
        try:
            import_module(name)
        finally:
            del os.environ[VARIABLE]
            if before is not None:
                os.environ[VARIABLE] = before
