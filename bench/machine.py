"""Describe the machine and its libraries; every figure carries the description."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tlplug.models.precision import cpu_bfloat16_instructions

LIBRARIES = ("tlplug", "torch", "lightning", "transformers", "peft", "accelerate", "bitsandbytes")


def machine() -> dict[str, Any]:
    return {
        "processor": processor(),
        "bfloat16": cpu_bfloat16_instructions() or "none",
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all cores"),
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
