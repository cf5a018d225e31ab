"""Measure metrics of a finished run from its evidence, and from its model where the evidence is not enough."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tlplug.config.job import STREAMS
from tlplug.config.metric_options import metrics_again
from tlplug.config.reopen import FinishedRun
from tlplug.data.domain import read_domains
from tlplug.data.read import read_splits
from tlplug.errors import UsageError
from tlplug.evaluation import evidence, recorder
from tlplug.evaluation.compute_metrics import describe
from tlplug.evaluation.compute_metrics import measure as measure_evidence
from tlplug.evaluation.recorder import Recorder
from tlplug.interfaces import RowsContext, TransferMetric
from tlplug.models.precision import resolve_precision
from tlplug.runs import directory as run_directory
from tlplug.runs.load import adapted_model, bare_model, base_of, bound_head
from tlplug.runs.result import report_facts
from tlplug.runtime.console import Reporter

METRIC_CONFIG, METRICS_OVERRIDES = "metric_config", "metrics_overrides"
"""Keys that `metrics` adds to result.json: the configs of the metrics it measured, and its overrides for the rows."""
NODES = ("data", "transfer", "evidence")
"""Config nodes that `metrics` can override: they select the rows to measure."""


def known(run: FinishedRun) -> dict[str, Any]:
    """Return the evidence of a run.

    Raises:
        UsageError: the run did not finish, or this version cannot read its evidence.
    """
    recover(run.folder / evidence.FOLDER)
    if not (run.folder / evidence.FOLDER).is_dir() or not (run.folder / run_directory.RESULT).is_file():
        raise UsageError(
            f"{run.folder} holds no {evidence.FOLDER}/ and {run_directory.RESULT}: the run did not finish"
        )
    try:
        return evidence.read(run.folder / evidence.FOLDER)
    except ValueError as error:
        raise UsageError(str(error)) from error


def lacking(metrics: Mapping[str, TransferMetric], found: Mapping[str, Any]) -> dict[str, TransferMetric]:
    """Return the metrics whose evidence was not recorded, or was recorded with another config of the metric."""
    recorded = found.get(recorder.RECORDING_CONFIG, {})
    told = found.get("reasons", {}).items()
    reasons = {name for name, why in told if not why.startswith(evidence.FAILED)}
    return {
        name: metric
        for name, metric in metrics.items()
        if any(need not in found and need not in reasons for need in metric.requires)
        or (recorder.records(metric) and recorded.get(name) != asdict(metric.config))
    }


def record(run: FinishedRun, metrics: Mapping[str, TransferMetric]) -> dict[str, Any]:
    """Load the base model and the adapted model, and return the evidence recorded from both."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recorder = recorder_of(run, metrics, device.type)
    bare = bare_model(run, recorder.head, recorder.base, device)
    recorder.before(bare, device)
    recorder.before_loading(bare)
    recorder.after(adapted_model(run, bare, recorder.base), recorder.head)
    return recorder.evidence()


def recorder_of(run: FinishedRun, metrics: Mapping[str, TransferMetric], device: str) -> Recorder:
    head, base = bound_head(run), base_of(run.model, run.data.max_length)
    rows = read_splits(run.data, head.columns, head.optional_columns, ("train", "validation"))["validation"]
    settings = {"target": run.data.target_domain, "source": run.transfer.source_domain}
    domains = read_domains(settings, STREAMS, head, run.data.seed, base.has_tokenizer)
    precision = resolve_precision(run.trainer.precision, device, base.dtype)
    return Recorder(
        context=RowsContext(head, base, rows, run.data.seed),
        domains=domains,
        strategy=run.strategy,
        metrics=metrics,
        settings=run.evidence,
        precision=precision,
        batch_size=run.data.batch_size,
    )


def measure(
    run: FinishedRun,
    metrics: Mapping[str, TransferMetric],
    reporter: Reporter,
    words: Sequence[str] = (),
    anew: bool = False,
) -> dict[str, Any]:
    """Measure metrics, update the evidence and result.json, and return the result.

    Args:
        words: the overrides that the run was opened with, which select other rows than its config; result.json
            stores them.
        anew: record the evidence again even where it exists, because the rows have changed.
    """
    found, path = known(run), run.folder / run_directory.RESULT
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    fields = result.get(METRIC_CONFIG, {})
    if anew:
        # Metrics measured on the earlier rows are measured again on these.
        metrics = {**metrics_again(run.config, fields, result["metrics"]), **metrics}
        result["metrics"] = {name: value for name, value in result["metrics"].items() if name in metrics}
    needing = metrics if anew else lacking(metrics, found)
    if needing:
        reporter.line(f"looking at the model for {', '.join(needing)}")
        found = renewed(found, record(run, needing), anew)
        put_in_place(found, run.folder / evidence.FOLDER)
    measured = measure_evidence(metrics, found)
    result["metrics"] |= measured
    facts = {
        name: each for name, each in (result.get("metric_facts") or {}).items() if name in result["metrics"]
    }
    result["metric_facts"] = report_facts({}, {}) | facts | describe(metrics, measured)
    result[METRIC_CONFIG] = {**fields, **{name: asdict(metric.config) for name, metric in metrics.items()}}
    result |= {METRICS_OVERRIDES: list(words), "source_domain": run.transfer.source_domain.path}
    run_directory.write_json(path, result)
    return result


def previous_overrides(folder: Path, now: Sequence[str]) -> list[str]:
    """Return the overrides of an earlier `metrics` call, so that the same rows are used again.

    Overrides for a domain whose `path` is set again in `now` are left out.
    """
    path = folder / run_directory.RESULT
    if not path.is_file():
        return []
    words = run_directory.read_object(path).get(METRICS_OVERRIDES, [])
    if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise UsageError(f"{path}: its {METRICS_OVERRIDES} is not a list of texts")
    named = {word.partition(".path=")[0] for word in now if ".path=" in word}
    return [word for word in words if not any(word.startswith(f"{domain}.") for domain in named)]


def renewed(found: Mapping[str, Any], more: Mapping[str, Any], anew: bool) -> dict[str, Any]:
    """Return the evidence merged with new records; with `anew`, evidence about rows is dropped first."""
    kept = {name: value for name, value in found.items() if not (anew and evidence.is_about_rows(name))}
    reasons = {
        name: why
        for name, why in kept.get("reasons", {}).items()
        if not (anew and evidence.is_about_rows(name))
    }
    recorded = {**kept.get(recorder.RECORDING_CONFIG, {}), **more.get(recorder.RECORDING_CONFIG, {})}
    known = {**kept, **more, recorder.RECORDING_CONFIG: recorded}
    reasons |= more["reasons"]
    return {**known, "reasons": {name: why for name, why in reasons.items() if name not in known}}


def recover(folder: Path) -> None:
    """Restore the old evidence where `put_in_place` was interrupted between its two renames."""
    left = sorted(folder.parent.glob(f".{folder.name}.*.old"))
    if left and not folder.exists():
        left[-1].replace(folder)


def put_in_place(found: Mapping[str, Any], folder: Path) -> None:
    """Replace the evidence folder: the new one is written beside it and then renamed into place."""
    beside = folder.with_name(f".{folder.name}.{run_directory.stamp()}")
    old = beside.with_name(f"{beside.name}.old")
    evidence.write(found, beside)
    folder.replace(old)
    beside.replace(folder)
    shutil.rmtree(old)
