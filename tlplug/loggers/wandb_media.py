"""Tables, charts and the report of a run, as W&B shows them."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from tlplug.loggers.service import Ended, flat


def media(ended: Ended) -> dict[str, Any]:
    import wandb
    from PIL import Image

    images = {
        f"chart/{name}": wandb.Image(Image.open(BytesIO(content)))
        for name, content in ended.pictures().items()
    }
    report = wandb.Html(ended.page.read_text(encoding="utf-8"), inject=False)
    return {**tables(ended.result), **images, "report": report}


def tables(result: Mapping[str, Any]) -> dict[str, Any]:
    """Scores of the run and its baselines, and the metrics' values or why there are none."""
    import wandb

    names = list(result["scores"])
    every = {result["strategy"]: result["scores"], **result["baselines"]}
    rows = [[who, *(scores.get(name) for name in names)] for who, scores in every.items()]
    values = [
        [name, value, ""] for name, value in flat(result["metrics"]).items() if not isinstance(value, str)
    ]
    lacks = [
        [name.removesuffix("/not_measured"), None, why]
        for name, why in flat(result["metrics"]).items()
        if isinstance(why, str)
    ]
    return {
        "scores": wandb.Table(["", *names], rows),
        "metrics": wandb.Table(["metric", "value", "not measured"], [*values, *lacks]),
    }
