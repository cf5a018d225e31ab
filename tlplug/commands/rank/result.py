"""Make the content of rank.json, version 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlplug.commands.rank.candidates import Shown
from tlplug.commands.rank.model_scores import Judged
from tlplug.commands.rank.plan import RankPlan
from tlplug.commands.rank.ranking import Ranking
from tlplug.commands.rank.summary import sentences
from tlplug.commands.rank.verify import Verified, how_good
from tlplug.interfaces.registry import describe_plugins
from tlplug.runs.result import versions

VERSION = 1


def make_ranking(
    plan: RankPlan, shown: Shown, ranking: Ranking, verified: Sequence[Verified]
) -> dict[str, Any]:
    """Return all figures of one ranking, with the models in order and failed models last."""
    job, head = plan.first, shown.head
    failed = [model for model in ranking.models if model.error is not None]
    tried = verification(plan, ranking, verified) if verified else None
    first = ranking.order[0].candidate.name if ranking.order else None
    return {
        "version": VERSION,
        "task": job.task,
        "head": job.head_name,
        "labels": list(head.labels),
        "rows": len(shown.rows),
        "data_seed": job.data.seed,
        "primary_score": head.primary_score,
        "higher_is_better": head.higher_is_better,
        "display_scale": head.display_scale,
        "metrics": {name: metric_figures(name, ranking) for name in ranking.metrics},
        "models": [model_figures(model, ranking) for model in [*ranking.order, *failed]],
        "verification": tried,
        "top_model": first,
        "summary": " ".join(sentences(ranking, tried, head.display_scale)),
        "command": None if first is None else plan.command_for(first),
        "versions": versions(),
        "plugins": describe_plugins({(p.kind, p.name): p for p in job.plugins}.values()),
    }


def metric_figures(name: str, ranking: Ranking) -> dict[str, Any]:
    return {
        "higher_is_better": ranking.metrics[name].higher_is_better,
        "included": name in ranking.consensus.by_metric,
        "exclusion_reason": ranking.excluded.get(name),
    }


def model_figures(model: Judged, ranking: Ranking) -> dict[str, Any]:
    """Return the figures of one model: ranks, metric values, best layer, size and time, or its error."""
    candidate = model.candidate
    named = {
        "name": candidate.name,
        "title": candidate.title,
        "base_model": candidate.base.source,
        "error": model.error,
    }
    if model.error is not None:
        return named
    at = ranking.sound.index(model)
    return {
        **named,
        "rank": ranking.ranks.get(candidate.name),
        "mean_rank": ranking.mean_ranks.get(candidate.name),
        "size_rank": ranking.size_ranks[candidate.name],
        "ranks": {name: found[at] for name, found in ranking.consensus.by_metric.items()},
        "metrics": model.metrics,
        "best_layer": model.best_layer(ranking.metrics),
        "parameters": model.parameters,
        "layers": model.layers,
        "seconds": model.seconds,
        "cached": model.kept,
    }


def verification(plan: RankPlan, ranking: Ranking, verified: Sequence[Verified]) -> dict[str, Any]:
    head = plan.first.head
    return {
        "strategy": plan.settings.strategy,
        "seed": plan.first.seed,
        "primary_score": head.primary_score,
        **how_good(
            verified,
            head.primary_score,
            head.higher_is_better,
            ranking.ranks.get,
            ranking.size_ranks.__getitem__,
        ),
        "models": [
            {
                "name": each.name,
                "score": each.score(head.primary_score),
                "scores": each.outcome.scores if each.outcome else None,
                "cost": each.outcome.cost if each.outcome else None,
                "cached": each.kept,
                "error": each.error,
            }
            for each in verified
        ],
    }
