"""A program that does two things in one process: a run, and a comparison after it."""

import sys

from tlplug.cli import main

if __name__ == "__main__":
    at = sys.argv.index("--")
    assert main(sys.argv[1:at]) == 0
    assert main(sys.argv[at + 1 :]) == 0
