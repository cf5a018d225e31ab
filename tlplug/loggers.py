"""`logger=csv`, `logger=wandb`, both or none: Lightning loggers, finished when the run ends, however it ends."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from tlplug.contracts.logger_settings import CsvSettings, WandbSettings


def csv(settings: CsvSettings, folder: Path, name: str) -> Logger:
    return CSVLogger(save_dir=folder, name="", version="")


def wandb(settings: WandbSettings, folder: Path, name: str) -> Logger:
    return WandbLogger(
        name=name,
        save_dir=folder,
        project=settings.project,
        entity=settings.entity,
        group=settings.group,
        tags=settings.tags or None,
        offline=settings.offline or not has_wandb_key(),
    )


def has_wandb_key() -> bool:
    """A key in the environment or in ~/.netrc, where `wandb login` puts it."""
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    stored = netrc.is_file() and "api.wandb.ai" in netrc.read_text(encoding="utf-8")
    return bool(os.environ.get("WANDB_API_KEY")) or stored


SUMMARY = ("verdict", "scores", "baselines", "comparisons", "metrics", "cost")
"""What of result.json goes into W&B's summary."""

log = logging.getLogger(__name__)

KINDS: dict[type, Callable[[Any, Path, str], Logger]] = {CsvSettings: csv, WandbSettings: wandb}


@contextmanager
def opened(
    settings: Sequence[Any], folder: Path, name: str, config: dict[str, Any]
) -> Iterator[list[Logger]]:
    """The loggers, with the config logged; finished on the way out, or runs of a sweep would merge into one."""
    loggers = [KINDS[type(chosen)](chosen, folder, name) for chosen in settings]
    try:
        for logger in loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(config)
        yield loggers
    finally:
        for logger in loggers:
            logger.finalize("success")
            if isinstance(logger, WandbLogger):
                import wandb

                wandb.finish()


def tell(
    loggers: Sequence[Logger],
    result: Mapping[str, Any],
    pictures: Callable[[], Mapping[str, bytes]],
    page: Path,
) -> None:
    """The verdict and figures of result.json, to loggers that take them: W&B's summary, tables, images and the report."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            try:
                tell_wandb(logger.experiment, result, pictures(), page)
            except Exception as error:
                # All of it lies in the run directory; a service that is away must not cost the run.
                log.warning("W&B was not told the result (%s: %s)", type(error).__name__, error)


def tell_wandb(run: Any, result: Mapping[str, Any], pictures: Mapping[str, bytes], page: Path) -> None:
    import wandb
    from PIL import Image

    run.summary.update(flat({name: result[name] for name in SUMMARY}))
    images = {
        f"chart/{name}": wandb.Image(Image.open(BytesIO(content))) for name, content in pictures.items()
    }
    run.log(
        {**tables(result), **images, "report": wandb.Html(page.read_text(encoding="utf-8"), inject=False)}
    )


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


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested values by the path of their keys: `verdict/label`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{above}{name}/") if isinstance(value, Mapping) else {f"{above}{name}": value}
    return found
