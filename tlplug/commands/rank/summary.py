"""Summarize a ranking in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tlplug.commands.rank.ranking import Ranking
from tlplug.reports.formatting import figure, listed

HARD_TO_BEAT = "A ranking by size alone is hard to beat"


def sentences(ranking: Ranking, verified: Mapping[str, Any] | None, scale: int) -> Iterator[str]:
    if not ranking.sound:
        yield "No model could be looked at."
        return
    yield from first(ranking)
    yield by_size(ranking)
    for why in dict.fromkeys(ranking.excluded.values()):
        names = [name for name, other in ranking.excluded.items() if other == why]
        yield f"{listed(names)} {'is' if len(names) == 1 else 'are'} not counted: {why}."
    if verified is None:
        yield (
            "How good this ranking is was not tried: fine_tune_top=3 fine-tunes the first three and the smallest. "
            f"{HARD_TO_BEAT}."
        )
    else:
        yield from how_good(verified, scale)


def first(ranking: Ranking) -> Iterator[str]:
    if not ranking.ranks:
        yield "No metric was measured for all models, so they are ordered by size alone."
        return
    best = min(ranking.ranks.values())
    names = [m.candidate.title for m in ranking.order if ranking.ranks[m.candidate.name] == best]
    mean = ranking.mean_ranks[ranking.order[0].candidate.name]
    counted = listed(list(ranking.consensus.by_metric))
    yield (
        f"{listed(names)} {'is' if len(names) == 1 else 'are'} ranked first of {len(ranking.sound)}: "
        f"mean rank {mean:.1f} over {counted}, which were measured for all models."
    )


def by_size(ranking: Ranking) -> str:
    best = min(ranking.size_ranks.values())
    names = [m.candidate.title for m in ranking.order if ranking.size_ranks[m.candidate.name] == best]
    if len(names) == len(ranking.sound) > 1:
        return "All are of one size."
    return f"By size alone it would be {listed(names)}."


def how_good(verified: Mapping[str, Any], scale: int) -> Iterator[str]:
    tried = [each for each in verified["models"] if each["error"] is None]
    yield f"{len(tried)} were fine-tuned by {verified['strategy']}, with seed {verified['seed']}."
    own, size = verified["ranking"], verified["size"]
    if size is None:
        return
    if own is None:
        yield "There is no ranking by metrics to be judged."
        return
    points = "points of " if scale == 100 else ""
    yield (
        f"Kendall's tau with {verified['primary_score']}: {tau(own)}, by size {tau(size)}. Regret at 1: "
        f"{figure(own['regret'], scale)} {points}{verified['primary_score']}, by size {figure(size['regret'], scale)}."
    )
    for told, name in ((own, "the ranking"), (size, "the ranking by size")):
        if told["tau_missing_reason"]:
            yield f"No tau of {name}: {told['tau_missing_reason']}."


def tau(found: Mapping[str, Any]) -> str:
    return "none" if found["tau"] is None else f"{found['tau']:.2f}"
