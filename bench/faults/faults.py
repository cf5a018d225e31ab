"""What can happen to a run, and whether it ends as one that nothing happened to."""

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
        return forkserver.start(words, self.folder / "output.txt", {**self.environment, **more}, before)

    def run(self, folder: Path, *more: str, before: Callable[[], None] | None = None) -> int:
        """The run from its beginning."""
        return forkserver.finish(self.start(*self.words, *more, f"run_dir={folder}", before=before))

    def begin(self, folder: Path, before: Callable[[], None] | None = None) -> Any:
        return self.start(*self.words, f"run_dir={folder}", before=before)

    def go_on(self, folder: Path) -> int:
        """To its end; from its beginning where nothing was begun yet."""
        if not (folder / "run.json").exists():
            return self.run(folder)
        return 0 if (folder / "result.json").exists() else forkserver.finish(self.start("resume", folder))


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
    forkserver.kill_after(bench.begin(folder), bench.took * bench.dice.random())


def kill_again_and_again(bench: Bench, folder: Path) -> None:
    forkserver.kill_after(bench.begin(folder), bench.took * (0.3 + 0.3 * bench.dice.random()))
    for _ in range(4):
        if (folder / "run.json").exists() and not (folder / "result.json").exists():
            forkserver.kill_after(
                bench.start("resume", folder), bench.took * (0.3 + 0.3 * bench.dice.random())
            )


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
    forkserver.finish(bench.begin(folder, DieInSave(bench.dice.randint(1, 20))))


def signalled(number: int) -> Callable[[Bench, Path], None]:
    def disturb(bench: Bench, folder: Path) -> None:
        process, step = bench.begin(folder), bench.dice.randint(1, 60)
        code = forkserver.kill_when(process, lambda: step_of(folder) >= step, number)
        assert code == 128 + number, f"exit code {code}"

    return disturb


def small_files() -> None:
    """No file can be as large as a checkpoint: what a full disk says."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))


def no_room(bench: Bench, folder: Path) -> None:
    """No checkpoint can be written, and the run is killed as well."""
    forkserver.kill_after(bench.begin(folder, small_files), bench.took * (0.5 + 0.4 * bench.dice.random()))


def damage(bench: Bench, folder: Path) -> None:
    process, step = (
        bench.start(*bench.words, "checkpoint.keep_last=2", f"run_dir={folder}"),
        bench.dice.randint(6, 60),
    )
    forkserver.kill_when(process, lambda: step_of(folder) >= step)
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
