"""Log a run to W&B: scores, tables, pictures and the report."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shlex
from collections.abc import Callable, Mapping
from io import BytesIO
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tlplug.runs.loggers.run_ids import Kept
from tlplug.runs.loggers.service import About, Ended, Ending, flat, summary
from tlplug.runtime.secrets import redact_logins
from tlplug.settings import WandbSettings


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
    """Return a table of the scores of the run and its baselines, and one of the metrics' values or reasons for none."""
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


AWAY = ("offline", "dryrun", "disabled")
"""Values of WANDB_MODE with which nothing is sent."""
STEP = "trainer/global_step"

log = logging.getLogger(__name__)


class Wandb:
    """Log a run to W&B. Without a key, or where W&B cannot be reached, write it offline and print a message."""

    name = "wandb"

    def __init__(self, settings: WandbSettings, about: About, kept: Kept, say: Callable[[str], None]) -> None:
        self.settings = settings
        self.about = about
        self.kept = kept
        self.say = say
        self.id = ""
        self.run: Any = None

    def start(self) -> None:
        self.id = self.kept.get(self.name) or secrets.token_hex(4)
        if not self.kept.get(self.name):
            self.kept.keep(self.name, self.id)
        self.run = self._offline() if self._stays_offline() else self._online()
        self._without_links()
        self.run.define_metric(STEP)
        self.run.define_metric("*", step_metric=STEP, step_sync=True)

    def row(self, values: Mapping[str, float], step: int) -> None:
        self.run.log({**values, STEP: step})

    def ended(self, ended: Ended) -> None:
        self.run.summary.update(summary(ended.result))
        self.run.log(media(ended))
        if self.settings.log_model:
            self.run.log_artifact(self._artifact(ended.trained))

    def finish(self, ending: Ending) -> str | None:
        """Close the W&B run, waiting up to `finish_timeout` for uploads.

        Returns:
            The command that uploads what could not be sent, or None.
        """
        folder, offline = Path(self.run.settings.sync_dir), self.run.offline
        try:
            self.run.finish(exit_code=0 if ending is Ending.FINISHED else 1)
        except Exception as error:
            # The upload took too long or W&B's own process has died; the logged data is in the folder.
            log.warning("W&B did not send all of it (%s: %s)", type(error).__name__, error)
            return self._sync([folder])
        return self._sync(unsent(folder)) if offline and not self.run.disabled else None

    def _stays_offline(self) -> bool:
        if self.settings.offline or os.environ.get("WANDB_MODE") in AWAY:
            return True
        if has_key():
            return False
        self.say("W&B: there is no key (WANDB_API_KEY, or `wandb login`); the run is written offline")
        return True

    def _online(self) -> Any:
        try:
            run = self._init(os.environ.get("WANDB_MODE") or "online")
        except Exception as error:
            # Where the key is refused or the service is unavailable, the run is written offline.
            cause = redact_logins(" ".join(str(error).split()))[:200]
            log.warning("W&B cannot be reached (%s: %s)", type(error).__name__, cause)
            self.say(f"W&B cannot be reached ({cause}); the run is written offline")
            # W&B's own process still holds the id for the run that could not start; `_sync` passes it to `wandb sync`.
            self.id = secrets.token_hex(4)
            return self._offline()
        self.say(f"W&B: {run.url}")
        return run

    def _offline(self) -> Any:
        return self._init("disabled" if os.environ.get("WANDB_MODE") == "disabled" else "offline")

    def _init(self, mode: str) -> Any:
        import wandb

        about, own = self.about, self.settings
        return wandb.init(
            project=own.project,
            entity=own.entity,
            group=own.group or about.sweep,
            name=about.name,
            tags=list(dict.fromkeys([about.strategy, about.task, *own.tags])),
            config=dict(about.config),
            dir=str(about.folder.resolve()),
            id=self.id,
            resume="allow" if mode == "online" else None,
            mode=mode,  # type: ignore[arg-type]
            # Links would lead out of the run directory, and the metadata that W&B collects (`meta`) contains the
            # command line with its secrets.
            settings=wandb.Settings(
                silent=True,
                console="off",
                symlink=False,
                x_disable_meta=True,
                init_timeout=own.init_timeout,
                finish_timeout=own.finish_timeout,
                finish_timeout_raises=True,
            ),
        )

    def _without_links(self) -> None:
        """Remove W&B's links to its log in the cache; a run directory with links that lead out is not trusted."""
        for path in (self.about.folder / "wandb").rglob("debug-core.log"):
            if path.is_symlink():
                path.unlink()

    def _sync(self, folders: list[Path]) -> str:
        known = str(self.kept.get(self.name))
        into = [] if all(folder.name.endswith(f"-{known}") for folder in folders) else ["--id", known]
        return shlex.join(["wandb", "sync", *into, *map(str, folders)])

    def _artifact(self, trained: Path) -> Any:
        import wandb

        name = re.sub(r"[^\w.-]", "_", f"{self.about.task}-{self.about.strategy}-{trained.name}")
        artifact = wandb.Artifact(name, type="model")
        # Upload the files in place instead of a copy: they no longer change.
        artifact.add_dir(str(trained), policy="immutable")
        return artifact


def unsent(folder: Path) -> list[Path]:
    """Return the folders of this offline run and of earlier ones that were not uploaded, in order of time."""
    offline = sorted(folder.parent.glob("offline-run-*"))
    return [found for found in offline if found == folder or not any(found.glob("*.synced"))]


def has_key() -> bool:
    """Return whether a key is set in the environment, or by `wandb login` in ~/.netrc for the host of the service."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    try:
        return path.is_file() and netrc(path).authenticators(host) is not None
    except (NetrcParseError, OSError) as error:
        log.warning("%s cannot be read (%s)", path, error)
        return False
