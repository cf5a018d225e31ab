"""Imports that would bring more than the run uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "TORCHDYNAMO_DISABLE"


@contextmanager
def uncompiled() -> Iterator[None]:
    """While it lasts, what a library that is imported hands to `torch.compile` as it defines it stays as it is.

    transformers' schedules import peft, and peft imports bitsandbytes, which has two functions compiled for devices that it
    has no kernels for. To ask for that is to import torch's compiler: 3 CPU seconds, 45 MB. What is handed to
    `torch.compile` later is compiled.
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
