"""What evidence adds to a run: python -m bench.metrics.evidence

SST-2 (../shared/data/sst2), 4000 training rows, one epoch of lora, 872 rows of validation and of test, no baselines but the
trivial one: the whole process with everything that is recorded by default and all default metrics, against the same with
evidence.max_rows=0 evidence.weight_changes=false. CPU seconds of the process, each measured twice in turns, the less of
both; a fresh cache for each, so that nothing is known before. The figures are written to bench/metrics/evidence.md.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.settings import ROOT

DATA = "../shared/data/sst2"
NOTHING = ("evidence.max_rows=0", "evidence.weight_changes=false")


def words(folder: Path, *more: str) -> list[str]:
    return [
        *(
            "+strategy=lora",
            "+task=sentiment",
            "data=files",
            f"data.path={DATA}",
            "data.splits.test=validation",
        ),
        *("data.splits.validation=0.12", "data.limit.train=4000", "data.limit.validation=872"),
        *("trainer.max_epochs=1", "transfer.baselines=[trivial]", f"run_dir={folder}", *more),
    ]


def cpu_seconds(*more: str) -> float:
    """Of one run in a process of its own, with a cache of its own."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "TLPLUG_CACHE": f"{home}/cache",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        line = [sys.executable, "-m", "tlplug", *words(Path(home) / "run", *more)]
        subprocess.run(line, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    if not (ROOT / DATA).is_dir():
        print(f"bench: there is no {DATA}", file=sys.stderr)
        return 2
    found: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(2):
        found["without"].append(cpu_seconds(*NOTHING))
        found["with"].append(cpu_seconds())
    whole, bare = min(found["with"]), min(found["without"])
    table = (
        "| lora on sst2, 4000 rows, one epoch | CPU seconds of the process |\n| --- | ---: |\n"
        f"| nothing recorded | {bare:.1f} |\n| all evidence and default metrics, report written | {whole:.1f} |\n"
        f"| ratio | {whole / bare:.3f} |\n"
    )
    page = f"`python -m bench.metrics.evidence`\n\n{table}"
    Path(__file__).with_suffix(".md").write_text(page, encoding="utf-8")
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
