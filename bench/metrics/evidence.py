"""Measure what recording evidence adds to a run: python -m bench.metrics.evidence

Compares a run with the default evidence and metrics with the same run under evidence.max_rows=0
evidence.weight_changes=false: lora on 4000 training rows of SST-2 (../shared/data/sst2), one epoch, 872 rows of validation
and of test, the trivial baseline only. The figures are CPU seconds of the process, the smaller of two measurements by
turns, each with an empty cache. Writes bench/metrics/evidence.md.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from bench.processes import make_cache, measure_command
from bench.results import markdown, table
from bench.settings import DATA, require_data

NO_EVIDENCE = ("evidence.max_rows=0", "evidence.weight_changes=false")


def words(folder: Path) -> list[str]:
    return f"""
        tlplug +strategy=lora +task=sentiment data=files data.path={DATA}/sst2
        data.splits.test=validation data.splits.validation=0.12 data.limit.train=4000
        data.limit.validation=872 trainer.max_epochs=1 transfer.baselines=[trivial] run_dir={folder}
    """.split()


def cpu_seconds(*overrides: str) -> float:
    """Return the CPU seconds of one run in a new process with an empty cache."""
    with TemporaryDirectory() as home:
        folder = Path(home) / "run"
        return measure_command([*words(folder), *overrides], make_cache(folder))["cpu_seconds"]


def main() -> None:
    require_data("sst2")
    pairs = [(cpu_seconds(*NO_EVIDENCE), cpu_seconds()) for _ in range(2)]
    without, recorded = (min(seconds) for seconds in zip(*pairs, strict=True))
    rows = [
        ["nothing recorded", f"{without:.1f}"],
        ["all evidence and default metrics, report written", f"{recorded:.1f}"],
        ["ratio", f"{recorded / without:.3f}"],
    ]
    cells = table(["lora on sst2, 4000 rows, one epoch", "CPU seconds of the process"], rows)
    page = markdown(["`python -m bench.metrics.evidence`", cells])
    Path(__file__).with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
