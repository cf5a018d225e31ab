"""Fine-tune ranked models, and measure how well the ranking predicts their scores."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tlplug.commands.rank.consensus import agreement
from tlplug.commands.rank.model_scores import Judged
from tlplug.interfaces import Outcome
from tlplug.runs.prepare import prepare
from tlplug.runs.progress import Bar
from tlplug.runtime.console import Reporter
from tlplug.runtime.distributed import world_size
from tlplug.runtime.memory import release_memory
from tlplug.training.fit import TrainingHooks
from tlplug.training.outcome_cache import Outcomes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verified:
    """The outcome of fine-tuning one model, or the error that prevented it."""

    name: str
    outcome: Outcome | None = None
    kept: bool = False
    """True if the outcome was read from the cache."""
    error: str | None = None

    def score(self, primary: str) -> float | None:
        return None if self.outcome is None else self.outcome.scores[primary]


def verified(model: Judged, strategy_name: str, reporter: Reporter) -> Verified:
    """Fine-tune a model, or read the outcome from the cache.

    An error ends this model, not the others, unless several processes train together.
    """
    candidate = model.candidate
    job = candidate.job
    title = f"{candidate.title} {job.strategy_name}"
    bar = Bar(reporter.console, title, job.head.primary_score)
    hooks = TrainingHooks(callbacks=[bar], reporter=reporter)
    try:
        outcomes = Outcomes(prepare(job, reporter))
        stored = outcomes.stored(job.strategy, job.optimizer)
        found = stored or outcomes.train(job.strategy, job.optimizer, hooks)
    except Exception as error:
        if world_size() > 1:
            raise  # the other processes wait for this one in the middle of a step
        log.exception("%s could not be fine-tuned by %s", candidate.name, strategy_name)
        return Verified(candidate.name, error=f"{type(error).__name__}: {error}")
    finally:
        release_memory()
    return Verified(candidate.name, found, stored is not None)


def how_good(
    found: Sequence[Verified],
    primary: str,
    higher_is_better: bool,
    ranked: Callable[[str], float | None],
    size_ranked: Callable[[str], float],
) -> dict[str, Any]:
    """Return the agreement of both rankings, by metrics and by size, with the scores, and the best model.

    Args:
        ranked, size_ranked: return a model's rank by its name.
    """
    scores = {each.name: score for each in found if (score := each.score(primary)) is not None}
    if not scores:
        return {"ranking": None, "size": None, "best": None}
    names, values = list(scores), list(scores.values())
    own = [rank for name in names if (rank := ranked(name)) is not None]
    best = max(names, key=lambda name: scores[name] if higher_is_better else -scores[name])
    return {
        "ranking": agreement(own, values, higher_is_better) if len(own) == len(values) else None,
        "size": agreement([size_ranked(name) for name in names], values, higher_is_better),
        "best": best,
    }
