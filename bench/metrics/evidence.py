"""Measure what recording evidence adds to a run: python -m bench.metrics.evidence

Compares a run with the default evidence and metrics with the same run under evidence.max_rows=0
evidence.weight_changes=false: lora on 4000 training rows of SST-2 (../shared/data/sst2), one epoch, 872 rows of validation
and of test, the trivial baseline only. The figures are CPU seconds of the process, the smaller of two measurements by
turns, each with an empty cache. Writes bench/metrics/evidence.md.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.markdown import table
from bench.settings import ROOT

DATA = "../shared/data/sst2"
NO_EVIDENCE = ("evidence.max_rows=0", "evidence.weight_changes=false")


def words(folder: Path, *overrides: str) -> list[str]:
    return [
        "+strategy=lora",
        "+task=sentiment",
        "data=files",
        f"data.path={DATA}",
        "data.splits.test=validation",
        "data.splits.validation=0.12",
        "data.limit.train=4000",
        "data.limit.validation=872",
        "trainer.max_epochs=1",
        "transfer.baselines=[trivial]",
        f"run_dir={folder}",
        *overrides,
    ]


def cpu_seconds(*overrides: str) -> float:
    """Return the CPU seconds of one run in a new process with an empty cache."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "TLPLUG_CACHE": f"{home}/cache",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "tlplug", *words(Path(home) / "run", *overrides)]
        subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    if not (ROOT / DATA).is_dir():
        print(f"bench: there is no {DATA}", file=sys.stderr)
        return 2
    pairs = [(cpu_seconds(*NO_EVIDENCE), cpu_seconds()) for _ in range(2)]
    without, recorded = (min(seconds) for seconds in zip(*pairs, strict=True))
    rows = [
        ["nothing recorded", f"{without:.1f}"],
        ["all evidence and default metrics, report written", f"{recorded:.1f}"],
        ["ratio", f"{recorded / without:.3f}"],
    ]
    cells = table(["lora on sst2, 4000 rows, one epoch", "CPU seconds of the process"], rows)
    page = f"`python -m bench.metrics.evidence`\n\n{cells}\n"
    Path(__file__).with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
