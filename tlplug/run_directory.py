"""The folder that one run leaves behind. An existing one is never written over."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from tlplug.cache import write_whole
from tlplug.contracts import UsageError

OUTPUTS = Path("outputs")


def choose(run_dir: str | None, *names: str) -> Path:
    """Where the run is going to lie: `run_dir`, or outputs/<names>/<time>-<id>. Nothing is made yet.

    Raises:
        UsageError: something lies there already.
    """
    if run_dir is None:
        stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        return OUTPUTS.joinpath(*names, f"{stamp}-{secrets.token_hex(2)}")
    path = Path(run_dir).expanduser()
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UsageError(f"run_dir={run_dir}: something lies there already; name a new folder")
    return path


def write_json(path: Path, value: Any) -> None:
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Everything that tlplug and Lightning log, in `path` too, with the traceback where the run fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in ("tlplug", "lightning")]
    for logger in loggers:
        logger.addHandler(handler)
    level = loggers[0].level
    loggers[0].setLevel(logging.INFO)
    try:
        yield
    except BaseException:
        logging.getLogger("tlplug").exception("the run did not finish")
        raise
    finally:
        loggers[0].setLevel(level)
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()
