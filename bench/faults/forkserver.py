"""Command lines in processes that are really killed, without importing torch anew for each."""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["tlplug.runs.run", "tlplug.reports.charts", "peft", "tlplug_plugins.strategies.lora"]
)


def start(words, output, env=None, before=None):
    """`python -m tlplug WORDS` in a process of its own.

    Args:
        output: file that takes what it prints.
        before: called in the process first, to break something in it.
    """
    process = CONTEXT.Process(target=_main, args=(list(map(str, words)), str(output), env or {}, before))
    process.start()
    return process


def _main(words, output, env, before):
    os.environ.update(env)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    with Path(output).open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["tlplug", *words]
    if before is not None:
        before()
    from tlplug.cli import main

    code = 1
    try:
        code = main(words)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def finish(process, seconds=240):
    """Its exit code; of one that a signal ended, the signal's number below zero."""
    process.join(seconds)
    if process.is_alive():
        process.kill()
        raise AssertionError("it did not end")
    return process.exitcode


def run(words, output, env=None, before=None):
    return finish(start(words, output, env, before))


def kill_after(process, seconds, number=signal.SIGKILL):
    """Its exit code, after a signal that comes at this moment, or at its end."""
    process.join(seconds)
    if process.is_alive():
        os.kill(process.pid, number)
    return finish(process)


def kill_when(process, there, number=signal.SIGKILL, seconds=120):
    """The same, as soon as something is there."""
    until = time.monotonic() + seconds
    while not there():
        assert process.is_alive(), "it ended before"
        assert time.monotonic() < until, "it did not come so far"
        time.sleep(0.02)
    os.kill(process.pid, number)
    return finish(process)
