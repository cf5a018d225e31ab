"""Work in a process of its own."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from typing import Any


def apart(module: str, function: str, *given: Any) -> Any:
    """What the function gives. Nothing that it loads stays here, where the system would count it as an arm's memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(call, module, function, *given).result()


def call(module: str, function: str, *given: Any) -> Any:
    return getattr(import_module(module), function)(*given)
