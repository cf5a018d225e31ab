"""`measure RUN metric=[...]`: metrics of a finished run, from its evidence, or where that is not enough from its model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tlplug import evidence, run_directory
from tlplug.config import STREAMS, Finished, metrics_again
from tlplug.contracts import DomainSettings, TransferMetric, UsageError
from tlplug.data.domain import looked_at
from tlplug.data.source import read_splits
from tlplug.inference.open_run import base_of, bound_head
from tlplug.precision import best_precision

FOLDER = "evidence"
NODES = ("data", "transfer", "evidence")
"""Whose keys can be set anew: which rows are looked at."""


def known(run: Finished) -> dict[str, Any]:
    """What the run recorded.

    Raises:
        UsageError: the run did not finish, or its evidence is of another version.
    """
    if not (run.folder / FOLDER).is_dir() or not (run.folder / run_directory.RESULT).is_file():
        raise UsageError(
            f"{run.folder} holds no {FOLDER}/ and {run_directory.RESULT}: the run did not finish"
        )
    try:
        return evidence.read(run.folder / FOLDER)
    except ValueError as error:
        raise UsageError(str(error)) from error


def lacking(metrics: Mapping[str, TransferMetric], found: Mapping[str, Any]) -> dict[str, TransferMetric]:
    """The metrics that need something of the model which was not recorded, or was recorded for other fields of theirs."""
    reasons, recorded = found.get("reasons", {}), found.get(evidence.RECORDED_FOR, {})
    return {
        name: metric
        for name, metric in metrics.items()
        if any(need not in found and need not in reasons for need in metric.needs)
        or (evidence.records(metric) and recorded.get(name) != asdict(metric.config))
    }


def record(run: Finished, metrics: Mapping[str, TransferMetric]) -> dict[str, Any]:
    """Load the base model and what the run made of it, and look at both."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recorder = recorder_of(run, metrics, device.type)
    head, base = recorder.head, recorder.base
    options = run.strategy.load_options(head)
    if options.quantization is not None:
        options = replace(options, device=str(device))
    model = head.load_model(base, options)
    recorder.before(model, device)
    recorder.bare(model)
    adapted = run.strategy.load(model, run.folder / run.strategy.saves, base)
    recorder.after(adapted, head, device)
    return recorder.found()


def recorder_of(run: Finished, metrics: Mapping[str, TransferMetric], device: str) -> evidence.Recorder:
    head, base = bound_head(run), base_of(run.model, run.data.max_length)
    rows = read_splits(run.data, head.columns, head.optional_columns, ("train", "validation"))["validation"]
    domains = {
        name: looked_at(settings, head, run.data.seed, STREAMS[name])
        for name, settings in domains_of(run).items()
    }
    probes, reasons = evidence.probes_of(head, base, rows, domains, metrics, run.evidence.rows, run.data.seed)
    precision = run.trainer.precision
    if precision == "auto":
        precision = best_precision(device, base.dtype)
    return evidence.Recorder(head, base, run.strategy, metrics, probes, run.evidence, precision, reasons)


def domains_of(run: Finished) -> dict[str, DomainSettings]:
    found = {"target": run.data.target, "source": run.transfer.source}
    return {name: settings for name, settings in found.items() if settings.path is not None}


def measure(
    run: Finished,
    metrics: Mapping[str, TransferMetric],
    anew: bool = False,
    told: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """The result with these metrics' values in it; the evidence and result.json hold them too.

    Args:
        anew: other rows than the run's are to be looked at, so the model is needed whatever was recorded.
        told: what is being done, where it takes a while.
    """
    found = known(run)
    path = run.folder / run_directory.RESULT
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if anew:
        # What was measured of the rows that were looked at before is measured of these.
        metrics = {**metrics_again(run.config, result["metrics"]), **metrics}
    needing = metrics if anew else lacking(metrics, found)
    if needing:
        told(f"looking at the model for {', '.join(needing)}")
        found = renewed(found, record(run, needing), anew)
        put_in_place(found, run.folder / FOLDER)
    result["metrics"] |= evidence.measure(metrics, found)
    run_directory.write_json(path, result)
    return result


def renewed(found: Mapping[str, Any], more: Mapping[str, Any], anew: bool) -> dict[str, Any]:
    """The evidence with what has just been recorded in it; nothing of other rows stays beside it."""
    kept = {name: value for name, value in found.items() if not (anew and evidence.of_rows(name))}
    reasons = {
        name: why for name, why in kept.get("reasons", {}).items() if not (anew and evidence.of_rows(name))
    }
    recorded = {**kept.get(evidence.RECORDED_FOR, {}), **more.get(evidence.RECORDED_FOR, {})}
    known = {**kept, **more, evidence.RECORDED_FOR: recorded}
    reasons |= more["reasons"]
    return {**known, "reasons": {name: why for name, why in reasons.items() if name not in known}}


def put_in_place(found: Mapping[str, Any], folder: Path) -> None:
    """All of the evidence or what was there: written beside, then changed places."""
    beside = folder.with_name(f".{folder.name}.{run_directory.stamp()}")
    old = beside.with_name(f"{beside.name}.old")
    evidence.write(found, beside)
    folder.replace(old)
    beside.replace(folder)
    shutil.rmtree(old)
