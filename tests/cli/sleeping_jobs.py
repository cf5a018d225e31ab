"""Jobs whose processes are no runs; in a file of their own, which another process imports before it runs one."""

import sys

from tlplug.commands.sweep.protocols import SweepJob


class Sleeper(SweepJob):
    """A job whose process says what it was given, and ends as a run does where it is asked to."""

    program = """
import os, pathlib, signal, sys, time
begun = pathlib.Path(sys.argv[1], "begun")
begun.write_text(begun.read_text() + "again" if begun.exists() else os.environ["TLPLUG_SWEEP"])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
time.sleep(float(sys.argv[2]) if not begun.read_text().endswith("again") else 0)
sys.exit(int(sys.argv[3]))
"""
    seconds, code = 0.0, 0

    def command(self):
        return [sys.executable, "-c", self.program, str(self.folder), str(self.seconds), str(self.code)]


class Lasting(Sleeper):
    seconds = 60.0


class Failing(Sleeper):
    code = 3
