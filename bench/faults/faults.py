"""Disturb runs in several ways, resume them, and compare their outputs with those of an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.faults import forkserver
from bench.faults.sweep import make_task

TIMELESS = ("scores", "baselines", "comparisons", "metrics", "verdict", "curve")
EVERY = 3
"""Optimizer steps between two checkpoints."""


@dataclass
class FaultTest:
    """A task, the outputs of its undisturbed run, and a folder for the disturbed ones."""

    folder: Path
    generator: random.Random
    words: list[str] = field(default_factory=list)
    seconds: float = 0.0
    expected: Any = None

    def __post_init__(self) -> None:
        replaced = ("checkpoint", "metric", "trainer.max")
        self.words = [
            *(word for word in make_task(self.folder) if not word.startswith(replaced)),
            "strategy=lora",
            f"checkpoint.every_steps={EVERY}",
            "trainer.max_epochs=12",
            "metric=[cka]",
            "trainer.val_check_interval=0.5",
        ]
        self.run(self.folder / "first")  # fills the cache
        started = time.monotonic()
        assert self.run(self.folder / "whole") == 0, (self.folder / "output.txt").read_text()
        self.seconds = time.monotonic() - started
        self.expected = run_outputs(self.folder / "whole")

    @property
    def environment(self) -> dict[str, str]:
        return {"TLPLUG_CACHE": str(self.folder / "cache"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    def start(self, *words: Any, before: Callable[[], None] | None = None) -> Any:
        return forkserver.start(words, self.folder / "output.txt", self.environment, before)

    def start_run(self, folder: Path, before: Callable[[], None] | None = None) -> Any:
        return self.start(*self.words, f"run_dir={folder}", before=before)

    def run(self, folder: Path) -> int:
        return forkserver.finish(self.start_run(folder))

    def resume(self, folder: Path) -> int:
        """Resume the run, or start it if it has no run.json yet; return its exit code."""
        if not (folder / "run.json").exists():
            return self.run(folder)
        return 0 if (folder / "result.json").exists() else forkserver.finish(self.start("resume", folder))


def run_outputs(folder: Path) -> Any:
    """Return a run's results without times, and the bytes of its trained weights and predictions."""
    result = json.loads((folder / "result.json").read_text())
    trained = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.glob("*/*.safetensors"))
        if path.parent.name != "evidence"
    }
    assert trained
    timeless = json.dumps({name: result[name] for name in TIMELESS}, sort_keys=True)
    return timeless, trained, (folder / "predictions.jsonl").read_bytes()


def last_step(folder: Path) -> int:
    """Return the optimizer step of the last checkpoint."""
    steps = [int(path.stem.partition("-")[2]) for path in (folder / "checkpoints").glob("step-*.ckpt")]
    return max(steps, default=0)


def kill_once(test: FaultTest, folder: Path) -> None:
    forkserver.kill_after(test.start_run(folder), test.seconds * test.generator.random())


def kill_repeatedly(test: FaultTest, folder: Path) -> None:
    forkserver.kill_after(test.start_run(folder), test.seconds * (0.3 + 0.3 * test.generator.random()))
    for _ in range(4):
        if (folder / "run.json").exists() and not (folder / "result.json").exists():
            process = test.start("resume", folder)
            forkserver.kill_after(process, test.seconds * (0.3 + 0.3 * test.generator.random()))


class KillDuringSave:
    """Write half of a checkpoint and kill the process."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self) -> None:
        import torch

        save, saves = torch.save, []

        def save_half(checkpoint: Any, file: Any, **options: Any) -> None:
            saves.append(1)
            save(checkpoint, file, **options)
            if len(saves) == self.number:
                file.truncate(file.tell() // 2)
                os.kill(os.getpid(), signal.SIGKILL)

        torch.save = save_half  # type: ignore[assignment]


def kill_during_save(test: FaultTest, folder: Path) -> None:
    forkserver.finish(test.start_run(folder, KillDuringSave(test.generator.randint(1, 20))))


def send_signal(number: int) -> Callable[[FaultTest, Path], None]:
    def disturb(test: FaultTest, folder: Path) -> None:
        process, step = test.start_run(folder), test.generator.randint(1, 60)
        code = forkserver.kill_when(process, lambda: last_step(folder) >= step, number)
        assert code == 128 + number, f"exit code {code}"

    return disturb


def limit_file_size() -> None:
    """Limit the size of files to less than a checkpoint, which fails as on a full disk."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))


def fill_disk(test: FaultTest, folder: Path) -> None:
    """Let every checkpoint fail, and kill the run."""
    delay = test.seconds * (0.5 + 0.4 * test.generator.random())
    forkserver.kill_after(test.start_run(folder, limit_file_size), delay)


def truncate_checkpoint(test: FaultTest, folder: Path) -> None:
    process = test.start(*test.words, "checkpoint.keep_last=2", f"run_dir={folder}")
    step = test.generator.randint(6, 60)
    forkserver.kill_when(process, lambda: last_step(folder) >= step)
    path = folder / "checkpoints" / f"step-{last_step(folder)}.ckpt"
    path.write_bytes(path.read_bytes()[: test.generator.randint(0, path.stat().st_size - 1)])


FAULTS: dict[str, tuple[Callable[[FaultTest, Path], None], float]] = {
    "SIGKILL at a random moment": (kill_once, 1.0),
    "SIGKILL at random moments, five times one after another": (kill_repeatedly, 0.3),
    "SIGKILL in the middle of writing a checkpoint": (kill_during_save, 0.5),
    "SIGTERM in the training": (send_signal(signal.SIGTERM), 0.5),
    "Ctrl-C in the training": (send_signal(signal.SIGINT), 0.5),
    "SIGHUP in the training": (send_signal(signal.SIGHUP), 0.3),
    "no room for checkpoints, and SIGKILL": (fill_disk, 0.3),
    "the last checkpoint cut short, after SIGKILL": (truncate_checkpoint, 0.5),
}
"""A fault -> the function that causes it, and its share of `--times`."""


def trials(test: FaultTest, times: int) -> Iterator[tuple[str, int, int]]:
    """Yield each fault, the number of its trials, and how many of them ended as the undisturbed run."""
    for number, (name, (disturb, share)) in enumerate(FAULTS.items()):
        count = max(1, round(share * times))
        same = 0
        for trial in range(count):
            folder = test.folder / f"{number}-{trial}"
            disturb(test, folder)
            code = test.resume(folder)
            if code == 0 and run_outputs(folder) == test.expected:
                same += 1
            else:
                lines = (test.folder / "output.txt").read_text().splitlines()[-5:]
                print(f"{name}, {folder.name}: exit code {code}", *lines, sep="\n", file=sys.stderr)
        yield name, count, same
