"""Isolate checks from the terminal and the user's cache, and run functions in new processes.

The processes are forked from a server process that has imported only the libraries.
Importing torch, transformers, lightning and peft takes several seconds; a fork of the server takes none, and shares no
state with the process that starts it.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from tlplug.testing import tiny_models as tiny
from tlplug.testing.check import CheckFailure, CheckSkipped

CACHE = "TLPLUG_CACHE"
LIBRARIES = ("torch", "transformers", "lightning.pytorch", "peft", "datasets", "safetensors.torch")
LIMIT_S = 120.0
"""Time limit in seconds for all calls."""
Call = tuple[Callable[..., Any], tuple[Any, ...]]


@contextmanager
def isolated() -> Iterator[None]:
    """Hide the output of libraries, and use a cache of its own and one thread; tiny models are slower with several."""
    import torch

    from tlplug.runtime.console import quiet_libraries

    threads, before = torch.get_num_threads(), os.environ.get(CACHE)
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    os.environ[CACHE] = str(tiny.home() / "cache")
    try:
        with quiet_libraries():
            yield
    finally:
        logging.disable(logging.NOTSET)
        torch.set_num_threads(threads)
        if before is None:
            del os.environ[CACHE]
        else:
            os.environ[CACHE] = before


def run_in_subprocesses(calls: Sequence[Call]) -> list[Any]:
    """Run each call in a process of its own, all at the same time, and return their results.

    Raises:
        CheckFailure: a call raised an error, or did not end in time.
        CheckSkipped: the system cannot fork.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise CheckSkipped("this system cannot fork processes")
    environment = {**os.environ, tiny.HOME: str(tiny.home()), CACHE: str(tiny.home() / "cache")}
    with tempfile.TemporaryDirectory(prefix="tlplug-testing-") as folder:
        results = _results(calls, folder, environment)
    for ok, result in results:
        if not ok:
            raise CheckFailure(f"in a new process: {result}")
    return [result for _, result in results]


def _results(calls: Sequence[Call], folder: str, environment: Mapping[str, str]) -> list[tuple[bool, Any]]:
    """Return for each call whether it succeeded, and its result or error message."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    pipes = [context.Pipe(duplex=False) for _ in calls]
    processes = [
        context.Process(target=_run_call, args=(call, sender, folder, environment), daemon=True)
        for call, (_, sender) in zip(calls, pipes, strict=True)
    ]
    for process, (_, sender) in zip(processes, pipes, strict=True):
        process.start()
        sender.close()
    try:
        return _receive([receiver for receiver, _ in pipes], time.monotonic() + LIMIT_S)
    finally:
        for process in processes:
            process.kill()
            process.join()


def _receive(receivers: Sequence[Connection], end: float) -> list[tuple[bool, Any]]:
    results: list[tuple[bool, Any]] = []
    for receiver in receivers:
        if not receiver.poll(max(0.0, end - time.monotonic())):
            raise CheckFailure(f"{len(receivers)} new processes did not end within {LIMIT_S:.0f} seconds")
        try:
            results.append(pickle.loads(receiver.recv_bytes()))
        except EOFError as error:
            raise CheckFailure("a new process ended without a result") from error
    return results


def _run_call(call: Call, sender: Connection, folder: str, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    os.chdir(folder)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    import torch

    torch.set_num_threads(1)
    function, arguments = call
    try:
        result = (True, function(*arguments))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        result = (False, f"{type(error).__name__} was raised: {error} ({last.filename}:{last.lineno})")
    # Send bytes: a tensor sent as an object is in memory shared with this process, which ends too early.
    sender.send_bytes(pickle.dumps(result))
    # Skip the libraries' exit handlers, in which some threads wait for each other.
    os._exit(0)
