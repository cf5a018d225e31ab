"""Runs that are killed, stopped, starved or damaged, and gone on with, against one that nothing happened to.

    python -m bench.faults [--seed 0] [--times 10]

What a run leaves has to be that of the undisturbed one byte for byte: what was trained, predictions.jsonl, and in
result.json all that is no measured time. Writes bench/faults.md; exit code 1 where something was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import forked
from bench.faults_sweep import make_task

PAGE = Path(__file__).with_name("faults.md")
TIMELESS = ("scores", "baselines", "comparisons", "metrics", "verdict", "curve")
EVERY = 3
"""Optimizer steps between two checkpoints."""


@dataclass
class Bench:
    """A task, its undisturbed run, and a place for the others."""

    folder: Path
    dice: random.Random
    words: list[str] = field(default_factory=list)
    took: float = 0.0
    expected: Any = None

    def __post_init__(self) -> None:
        self.words = [
            *(
                word
                for word in make_task(self.folder)
                if not word.startswith(("checkpoint", "metric", "trainer.max"))
            ),
            *("strategy=lora", f"checkpoint.every_steps={EVERY}", "trainer.max_epochs=12", "metric=[cka]"),
            "trainer.val_check_interval=0.5",
        ]
        self.run(self.folder / "first")  # fills the cache
        begun = time.monotonic()
        assert self.run(self.folder / "whole") == 0, (self.folder / "output.txt").read_text()
        self.took = time.monotonic() - begun
        self.expected = left(self.folder / "whole")

    @property
    def environment(self) -> dict[str, str]:
        return {"TLPLUG_CACHE": str(self.folder / "cache"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    def start(self, *words: Any, before: Callable[[], None] | None = None, **more: str) -> Any:
        return forked.start(words, self.folder / "output.txt", {**self.environment, **more}, before)

    def run(self, folder: Path, *more: str, before: Callable[[], None] | None = None) -> int:
        """The run from its beginning."""
        return forked.finish(self.start(*self.words, *more, f"run_dir={folder}", before=before))

    def begin(self, folder: Path, before: Callable[[], None] | None = None) -> Any:
        return self.start(*self.words, f"run_dir={folder}", before=before)

    def go_on(self, folder: Path) -> int:
        """To its end; from its beginning where nothing was begun yet."""
        if not (folder / "run.json").exists():
            return self.run(folder)
        return 0 if (folder / "result.json").exists() else forked.finish(self.start("resume", folder))


def left(folder: Path) -> Any:
    """What a run found out, and the bytes of what it trained and predicted."""
    result = json.loads((folder / "result.json").read_text())
    trained = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.glob("*/*.safetensors"))
        if path.parent.name != "evidence"
    }
    assert trained
    timeless = json.dumps({name: result[name] for name in TIMELESS}, sort_keys=True)
    return timeless, trained, (folder / "predictions.jsonl").read_bytes()


def step_of(folder: Path) -> int:
    """The optimizer step of the last checkpoint."""
    found = [int(path.stem.partition("-")[2]) for path in (folder / "checkpoints").glob("step-*.ckpt")]
    return max(found, default=0)


def kill_once(bench: Bench, folder: Path) -> None:
    forked.kill_after(bench.begin(folder), bench.took * bench.dice.random())


def kill_again_and_again(bench: Bench, folder: Path) -> None:
    forked.kill_after(bench.begin(folder), bench.took * (0.3 + 0.3 * bench.dice.random()))
    for _ in range(4):
        if (folder / "run.json").exists() and not (folder / "result.json").exists():
            forked.kill_after(bench.start("resume", folder), bench.took * (0.3 + 0.3 * bench.dice.random()))


class DieInSave:
    """Half of a checkpoint is written, and the process is gone."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self) -> None:
        import torch

        whole, saves = torch.save, []

        def half(what: Any, file: Any, **more: Any) -> None:
            saves.append(1)
            whole(what, file, **more)
            if len(saves) == self.number:
                file.truncate(file.tell() // 2)
                os.kill(os.getpid(), signal.SIGKILL)

        torch.save = half  # type: ignore[assignment]


def kill_in_a_save(bench: Bench, folder: Path) -> None:
    forked.finish(bench.begin(folder, DieInSave(bench.dice.randint(1, 20))))


def signalled(number: int) -> Callable[[Bench, Path], None]:
    def disturb(bench: Bench, folder: Path) -> None:
        process, step = bench.begin(folder), bench.dice.randint(1, 60)
        code = forked.kill_when(process, lambda: step_of(folder) >= step, number)
        assert code == 128 + number, f"exit code {code}"

    return disturb


def small_files() -> None:
    """No file can be as large as a checkpoint: what a full disk says."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))


def no_room(bench: Bench, folder: Path) -> None:
    """No checkpoint can be written, and the run is killed as well."""
    forked.kill_after(bench.begin(folder, small_files), bench.took * (0.5 + 0.4 * bench.dice.random()))


def damage(bench: Bench, folder: Path) -> None:
    process, step = (
        bench.start(*bench.words, "checkpoint.keep=2", f"run_dir={folder}"),
        bench.dice.randint(6, 60),
    )
    forked.kill_when(process, lambda: step_of(folder) >= step)
    path = folder / "checkpoints" / f"step-{step_of(folder)}.ckpt"
    path.write_bytes(path.read_bytes()[: bench.dice.randint(0, path.stat().st_size - 1)])


FAULTS: dict[str, tuple[Callable[[Bench, Path], None], float]] = {
    "SIGKILL at a random moment": (kill_once, 1.0),
    "SIGKILL at random moments, five times one after another": (kill_again_and_again, 0.3),
    "SIGKILL in the middle of writing a checkpoint": (kill_in_a_save, 0.5),
    "SIGTERM in the training": (signalled(signal.SIGTERM), 0.5),
    "Ctrl-C in the training": (signalled(signal.SIGINT), 0.5),
    "SIGHUP in the training": (signalled(signal.SIGHUP), 0.3),
    "no room for checkpoints, and SIGKILL": (no_room, 0.3),
    "the last checkpoint cut short, after SIGKILL": (damage, 0.5),
}
"""What happens -> how it is done, and the share of `--times` that it is."""


def trials(bench: Bench, times: int) -> Iterator[tuple[str, int, int]]:
    """Each fault, how often it was tried, and how often the run ended as the undisturbed one did."""
    for number, (name, (disturb, share)) in enumerate(FAULTS.items()):
        count = max(1, round(share * times))
        same = 0
        for trial in range(count):
            folder = bench.folder / f"{number}-{trial}"
            disturb(bench, folder)
            code = bench.go_on(folder)
            if code == 0 and left(folder) == bench.expected:
                same += 1
            else:
                told = (bench.folder / "output.txt").read_text().splitlines()[-5:]
                print(f"{name}, {folder.name}: exit code {code}", *told, sep="\n", file=sys.stderr)
        yield name, count, same


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--times", type=int, default=10)
    given = parser.parse_args()
    swept = (
        [line for line in PAGE.read_text().splitlines() if line.startswith("| sweep")]
        if PAGE.exists()
        else []
    )
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), random.Random(given.seed))
        rows = []
        for name, count, same in trials(bench, given.times):
            rows.append(f"| {name} | {count} | {same} | {'nothing' if same == count else 'SOMETHING'} |")
            print(rows[-1], flush=True)
    PAGE.write_text(page([*rows, *swept], " ".join(sys.argv[1:])), encoding="utf-8")
    return int(any("SOMETHING" in row for row in rows))


ABOUT = f"""\
a run of 72 optimizer steps on a tiny model, with a checkpoint every {EVERY} steps, is disturbed
and gone on with by `python -m tlplug resume`. The same: weights, predictions, and all of result.json
but measured times are byte for byte those of a run that nothing happened to."""


SWEEP = """\
The last row is what `python -m bench.faults_sweep` prints: a sweep whose jobs are killed at random moments, gone on
with by `sweep.resume=true`; each of its results is compared with that of an undisturbed sweep."""
TESTED = {
    "a disk that is really full (a small tmpfs), then made larger": "tests/cli/test_resume.py",
    "both of two processes killed": "tests/cli/test_resume.py",
    "one of two processes killed, or raising": "tests/cli/test_several_processes.py",
    "another base model, other rows or another config where a run is gone on with": "tests/cli/test_resume.py",
    "a NaN loss, in one process and in one of two": "tests/cli/test_failures.py",
    "too little memory (RLIMIT_AS)": "tests/cli/test_failures.py",
    "W&B that never answers, and that dies after the begin": "tests/cli/test_loggers.py",
    "an MLflow server that is killed in the middle": "tests/cli/test_loggers.py",
    "a job that fails, one that is killed, Ctrl-C and SIGTERM to a sweep": "tests/cli/test_sweep.py",
    "a search that is killed after some trials": "tests/cli/test_search.py",
    "the process of a submitit or Ray job asked to end": "tests/cli/test_launchers.py",
}
"""What the tests try once each time they run; none of it loses more than what came after the last checkpoint."""


def page(rows: list[str], words: str) -> str:
    command = f"python -m bench.faults {words}".rstrip()
    table = ["| what happened | times | ended the same | lost |", "| --- | ---: | ---: | --- |", *rows]
    tested = [
        "| what happens | where |",
        "| --- | --- |",
        *(f"| {what} | `{where}` |" for what, where in TESTED.items()),
    ]
    told = "The tests try these, once each time they run; nothing is lost but what came after the last checkpoint:"
    return "\n".join(
        ["# Faults", "", f"`{command}`: {ABOUT}", "", *table, "", SWEEP, "", told, "", *tested, ""]
    )


if __name__ == "__main__":
    sys.exit(main())
