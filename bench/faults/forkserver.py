"""Run command lines in processes that can be killed, forked from one that has imported torch."""

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
    """Start `python -m tlplug WORDS` in a process of its own.

    Args:
        output: the file for stdout and stderr.
        before: a function that the process calls first, to break something in it.
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
    """Wait for the process and return its exit code; minus the number of the signal that killed it."""
    process.join(seconds)
    if process.is_alive():
        process.kill()
        raise AssertionError("the process did not end")
    return process.exitcode


def run(words, output, env=None, before=None):
    return finish(start(words, output, env, before))


def kill_after(process, seconds, number=signal.SIGKILL):
    """Send the signal after this time, unless the process has ended; return its exit code."""
    process.join(seconds)
    if process.is_alive():
        os.kill(process.pid, number)
    return finish(process)


def kill_when(process, condition, number=signal.SIGKILL, seconds=120):
    """Send the signal as soon as the condition is true; return the exit code."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.is_alive(), "the process ended before the condition was true"
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.02)
    os.kill(process.pid, number)
    return finish(process)
