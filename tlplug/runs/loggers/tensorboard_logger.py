"""Log a run to TensorBoard event files in the run directory, for `logger=tensorboard`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tlplug.runs.loggers.service import About, Ended, Ending, figures

FLUSH_SECONDS = 5


class Tensorboard:
    """Write event files below `tensorboard/`; TensorBoard shows those of a resumed run as one."""

    name = "tensorboard"

    def __init__(self, about: About) -> None:
        self.about = about
        self.folder = about.folder / "tensorboard"
        self.writer: Any = None
        self.step = 0

    def start(self) -> None:
        """Do nothing: the file is opened with the first row, whose step decides which earlier rows are purged."""

    def row(self, values: Mapping[str, float], step: int) -> None:
        writer = self._opened(step)
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        self.step = max(self.step, step)

    def ended(self, ended: Ended) -> None:
        writer = self._opened(self.step)
        for name, value in figures(ended.result).items():
            writer.add_scalar(name, value, self.step)
        writer.add_text("verdict", ended.result["verdict"]["text"], self.step)

    def finish(self, ending: Ending) -> None:
        if self.writer is not None:
            self.writer.close()

    def _opened(self, step: int) -> Any:
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            earlier = any(self.folder.glob("events.*"))
            purge = {"purge_step": step} if earlier else {}
            self.writer = SummaryWriter(str(self.folder), flush_secs=FLUSH_SECONDS, **purge)
            text = json.dumps(self.about.config, indent=2, default=str)
            self.writer.add_text("config", "\n".join(f"    {line}" for line in text.splitlines()), step)
        return self.writer
