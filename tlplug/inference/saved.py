"""What a run saved: of formats that run no code when they are read."""

from __future__ import annotations

from pathlib import Path

from tlplug.errors import UsageError
from tlplug.models.locate import PICKLES
from tlplug.run_directory import read_object

ADAPTER_CONFIG = "adapter_config.json"
IMPORTS = "megatron_config"
"""The field of peft's config that makes it import what the file says; of `auto_mapping` nobody here makes use."""


def expect_safe(saved: Path) -> None:
    """What a run saved is there, and is of formats that run no code when they are read.

    Raises:
        UsageError: it is not there, or some of it is a pickle, or it names code.
    """
    if not saved.is_dir():
        raise UsageError(f"{saved.parent} holds no {saved.name}/: the run did not finish")
    for file in sorted(saved.rglob("*")):
        if file.suffix in PICKLES:
            raise UsageError(
                f"{file} is a pickle, which can run code when it is read. tlplug saves safetensors and loads nothing "
                "else; if nothing here needs the file, remove it"
            )
    config = saved / ADAPTER_CONFIG
    if config.is_file() and read_object(config).get(IMPORTS):
        raise UsageError(
            f"{config} sets {IMPORTS}, and peft then imports the module that the file names. tlplug saves no such adapter"
        )
