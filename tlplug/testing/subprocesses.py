"""Run functions in new processes, forked from one that has imported the libraries and nothing of ours.

A process that imports torch, transformers, lightning and peft takes several seconds to start; a fork takes none,
and knows as little of what its starter has made.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from tlplug.testing.check import CheckFailure, CheckSkipped

LIBRARIES = ("torch", "transformers", "lightning.pytorch", "peft", "datasets", "safetensors.torch")
LIMIT_S = 120.0
"""Seconds that the functions may take."""
Call = tuple[Callable[..., Any], tuple[Any, ...]]


def run_in_subprocesses(calls: Sequence[Call]) -> list[Any]:
    """Return what each call gives in a process of its own; they run at the same time.

    Raises:
        CheckFailure: one failed, or none of them ended.
        CheckSkipped: the system cannot fork.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise CheckSkipped("this system has no fork")
    from tlplug.testing import tiny_models as tiny

    environment = {**os.environ, tiny.HOME: str(tiny.home()), "TLPLUG_CACHE": str(tiny.home() / "cache")}
    with tempfile.TemporaryDirectory(prefix="tlplug-testing-") as folder:
        found = _results(calls, folder, environment)
    for ok, result in found:
        if not ok:
            raise CheckFailure(f"in a new process {result}")
    return [result for _, result in found]


def _results(calls: Sequence[Call], folder: str, environment: Mapping[str, str]) -> list[tuple[bool, Any]]:
    """Return whether each call went well, and what it gave or raised."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    pipes = [context.Pipe(duplex=False) for _ in calls]
    processes = [
        context.Process(target=_answer, args=(call, sender, folder, environment), daemon=True)
        for call, (_, sender) in zip(calls, pipes, strict=True)
    ]
    for process, (_, sender) in zip(processes, pipes, strict=True):
        process.start()
        sender.close()
    try:
        return _received([receiver for receiver, _ in pipes], time.monotonic() + LIMIT_S)
    finally:
        for process in processes:
            process.kill()
            process.join()


def _received(receivers: Sequence[Connection], end: float) -> list[tuple[bool, Any]]:
    found: list[tuple[bool, Any]] = []
    for receiver in receivers:
        if not receiver.poll(max(0.0, end - time.monotonic())):
            raise CheckFailure(
                f"{len(receivers)} new processes did not end: they were stopped after {LIMIT_S:.0f} seconds"
            )
        try:
            found.append(pickle.loads(receiver.recv_bytes()))
        except EOFError as error:
            raise CheckFailure("a new process died without an answer") from error
    return found


def _answer(call: Call, sender: Connection, folder: str, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    os.chdir(folder)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    import torch

    torch.set_num_threads(1)
    function, given = call
    try:
        answer = (True, function(*given))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        answer = (False, f"{type(error).__name__} is raised: {error} ({last.filename}:{last.lineno})")
    # As bytes: a tensor that is sent as an object is shared with its sender, which must not end before it is read.
    sender.send_bytes(pickle.dumps(answer))
    # What the libraries do at the end of a process is not waited for: some of their threads wait for each other.
    os._exit(0)
