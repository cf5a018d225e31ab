"""Functions run in new processes, which are forked from one that has the libraries and nothing of ours loaded.

A process that imports torch, transformers, lightning and peft takes several seconds to start; a fork takes none,
and knows as little of what its starter has made.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tlplug.testing.check import CheckFailure, CheckSkipped

LIBRARIES = ("torch", "transformers", "lightning.pytorch", "peft", "datasets", "safetensors.torch")
LIMIT = 120.0
"""Seconds that the functions may take."""
Call = tuple[Callable[..., Any], tuple[Any, ...]]

_server: subprocess.Popen[str] | None = None


def elsewhere(calls: Sequence[Call]) -> list[Any]:
    """What each call gives in a process of its own; they run at the same time.

    Raises:
        CheckFailure: one failed, or none of them ended.
    """
    if not hasattr(os, "fork"):
        raise CheckSkipped("this system has no fork")
    from tlplug.testing import tiny_models as tiny

    with tempfile.TemporaryDirectory(prefix="tlplug-testing-") as folder:
        jobs = []
        for number, call in enumerate(calls):
            told = base64.b64encode(pickle.dumps(call)).decode()
            jobs.append({"call": told, "result": f"{folder}/{number}"})
        environment = {**os.environ, tiny.HOME: str(tiny.home()), "TLPLUG_CACHE": str(tiny.home() / "cache")}
        order = {"path": sys.path, "folder": folder, "environment": environment, "jobs": jobs}
        outcome = ask(json.dumps(order))
        if outcome != "done":
            raise CheckFailure(f"in {len(calls)} new processes it did not end: {outcome}")
        found = [pickle.loads(Path(job["result"]).read_bytes()) for job in jobs]
    for ok, result in found:
        if not ok:
            raise CheckFailure(f"in a new process {result}")
    return [result for _, result in found]


def ask(order: str) -> str:
    server = started()
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(order + "\n")
    server.stdin.flush()
    return server.stdout.readline().strip() or "the process that forks has died"


def started() -> subprocess.Popen[str]:
    """The process that forks; it ends with this one."""
    global _server
    if _server is None or _server.poll() is not None:
        _server = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        atexit.register(_server.kill)
    return _server


def serve() -> None:
    """Lines of orders on standard input -> a line each on standard output."""
    from importlib import import_module

    for library in LIBRARIES:
        import_module(library)
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        order = json.loads(line)
        print(watched([forked(order, job) for job in order["jobs"]]), file=answer, flush=True)


def forked(order: dict[str, Any], job: dict[str, str]) -> int:
    """The id of a process that runs the job."""
    child = os.fork()
    if child:
        return child
    try:
        sys.path[:] = order["path"]
        os.environ.update(order["environment"])
        os.chdir(order["folder"])
        result = answered(job["call"])
        Path(job["result"]).write_bytes(pickle.dumps(result))
    finally:
        os._exit(0)


def answered(told: str) -> tuple[bool, Any]:
    """Whether the call went well, and what it gave or raised."""
    try:
        import torch

        torch.set_num_threads(1)
        function, given = pickle.loads(base64.b64decode(told))
        return True, function(*given)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return False, f"{type(error).__name__} is raised: {error} ({last.filename}:{last.lineno})"


def watched(children: Sequence[int]) -> str:
    """`done` when all have ended; those that take too long are ended."""
    left, end = set(children), time.monotonic() + LIMIT
    while left and time.monotonic() < end:
        left -= {child for child in left if os.waitpid(child, os.WNOHANG)[0]}
        time.sleep(0.01)
    for child in left:
        os.kill(child, 9)
        os.waitpid(child, 0)
    return f"they were stopped after {LIMIT:.0f} seconds" if left else "done"
