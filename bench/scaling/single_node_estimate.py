"""What would bind first on the 8 GPUs of one machine: a sum, and no measurement beyond those of `rows` and `loader`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.markdown import table
from bench.scaling import cluster_estimate

CARDS = 8
RATE, SHARE = 989e12, 0.4
"""Dense bf16 operations a second of an H100 SXM, and the share of them that a training is taken to reach."""
NVLINK, PCIE = 450e9, 64e9
"""Bytes a second, each way."""
MEMORY = 80e9
TOKENS = 8192
"""Of a step, on each card."""
DISK = 2e9
"""Bytes a second."""
SOURCES = (
    "https://www.nvidia.com/en-us/data-center/h100/ (989 TFLOPS, 80 GB, NVLink 900 GB/s and PCIe 128 GB/s for both ways "
    "together), https://github.com/NVIDIA/nccl-tests/blob/master/doc/PERFORMANCE.md (the ring), "
    "https://arxiv.org/abs/2001.08361 (6ND), https://huggingface.co/meta-llama/Llama-3.2-1B and Llama-2-7b (sizes), "
    "https://docs.wandb.ai/support/models/articles/rate-limit-exceeded-on-metric-logging (a quota for each project)"
)


TOLD = (
    "Compute: 6ND operations for full, 4ND for lora and qlora, whose still weights need no gradients; N weights, D tokens, "
    f"at {SHARE:.0%} (assumed) of an H100's {RATE / 1e12:.0f} dense bf16 TFLOPS. Unpacking four bits is left out.",
    "All-reduce: a ring, 2(n-1)/n times the bytes of the gradients (float32, as tlplug trains), at the nominal "
    f"{NVLINK / 1e9:.0f} GB/s of NVLink and {PCIE / 1e9:.0f} GB/s of PCIe 5 x16, each way, beside the backward pass.",
    "Held: 16 bytes for a weight that moves (itself, gradient, two moments), 2 for one that does not, 0.6 in four bits. "
    f"A card has {MEMORY / 1e9:.0f} GB, and activations come on top. LoRA: rank 8 beside all linear layers.",
    f"Loader: the CPU time of reading and putting together {TOKENS:,} tokens, as measured under Loader, in the process that "
    "also feeds the card.",
    f"Checkpoint: 12 bytes for a weight that moves, written by one process at {DISK / 1e9:.0f} GB/s (assumed); all wait.",
    "Binds: the longest of compute, all-reduce and loader; memory where it does not fit.",
)


@dataclass(frozen=True)
class Decoder:
    """Sizes of a published model."""

    name: str
    weights: float
    layers: int
    hidden: int
    keys: int
    """Width of keys and values."""
    inner: int

    def lora(self, rank: int = 8) -> int:
        """What moves: two matrices beside each linear layer of a block."""
        attention = 2 * (2 * self.hidden) + 2 * (self.hidden + self.keys)
        return self.layers * rank * (attention + 3 * (self.hidden + self.inner))


SMALL = Decoder("1B", 1.236e9, 16, 2048, 512, 8192)
LARGE = Decoder("7B", 6.738e9, 32, 4096, 4096, 11008)


@dataclass(frozen=True)
class Adaptation:
    """A decoder and a strategy, on each of the cards."""

    decoder: Decoder
    strategy: str

    @property
    def moving(self) -> float:
        return self.decoder.weights if self.strategy == "full" else self.decoder.lora()

    @property
    def gradients(self) -> float:
        """Bytes, in float32."""
        return 4 * self.moving

    @property
    def held(self) -> float:
        """Bytes of weights, gradients and moments; activations come on top."""
        still = {"lora": 2.0, "qlora": 0.6, "full": 0.0}[self.strategy]
        return still * self.decoder.weights + 16 * self.moving

    @property
    def checkpoint(self) -> float:
        """Bytes: what moves, and AdamW's two moments of it."""
        return 12 * self.moving

    @property
    def step(self) -> float:
        """Seconds of forward and backward."""
        passes = 6 if self.strategy == "full" else 4
        return passes * self.decoder.weights * TOKENS / (SHARE * RATE)

    def reduced(self, bandwidth: float) -> float:
        """Seconds in which a ring has summed the gradients."""
        return 2 * (CARDS - 1) / CARDS * self.gradients / bandwidth

    def binds(self, bandwidth: float, loader: float) -> str:
        """The longest of what can go on at the same time; what does not fit does not run."""
        if self.held > MEMORY:
            return "memory"
        parts = {"compute": self.step, "all-reduce": self.reduced(bandwidth), "loader": loader}
        return max(parts, key=lambda name: parts[name])


def part(rows: dict[str, Any], loaded: dict[str, Any]) -> list[str]:
    """Paragraphs of the page.

    Args:
        rows, loaded: the figures of `rows` and `loader`, by the number of rows.
    """
    count, stages = int(list(rows)[-1]), list(rows.values())[-1]["first"]
    last = list(loaded.values())[-1]
    loader = TOKENS * last["collate"]["cpu_seconds"] / last["collated"]["tokens"]
    tokens = count * last["collated"]["tokens"] / last["collated"]["rows"]
    head = [
        *("model", "strategy", "gradients MB", "held GB", "compute ms", "all-reduce ms, NVLink", "PCIe"),
        *("loader ms", "binds with NVLink", "with PCIe", "checkpoint GB", "its write s"),
    ]
    adaptations = [
        Adaptation(decoder, name) for decoder in (SMALL, LARGE) for name in ("lora", "qlora", "full")
    ]
    nodes = cluster_estimate.part(
        SMALL.weights,
        LARGE.weights,
        {
            "lora of 7B": Adaptation(LARGE, "lora").checkpoint,
            "full of 1B": Adaptation(SMALL, "full").checkpoint,
        },
    )
    return [
        f"### {CARDS} GPUs of one machine, {TOKENS:,} tokens a step on each",
        "\n".join(f"* {each}" for each in TOLD),
        table(head, [cells(each, loader) for each in adaptations]),
        before_the_first_step(count, tokens, stages),
        *nodes,
        f"Constants: {SOURCES}.",
    ]


def cells(each: Adaptation, loader: float) -> list[str]:
    return [
        *(each.decoder.name, each.strategy, f"{each.gradients / 1e6:,.0f}", f"{each.held / 1e9:.1f}"),
        *(f"{1e3 * each.step:.0f}", f"{1e3 * each.reduced(NVLINK):.2f}", f"{1e3 * each.reduced(PCIE):.1f}"),
        *(f"{1e3 * loader:.0f}", each.binds(NVLINK, loader), each.binds(PCIE, loader)),
        *(f"{each.checkpoint / 1e9:.2f}", f"{each.checkpoint / DISK:.1f}"),
    ]


def before_the_first_step(count: int, tokens: float, stages: dict[str, Any]) -> str:
    """What one process does while the others wait, against the cards' time."""
    alone = sum(stages[name]["cpu_seconds"] for name in ("read", "check", "encode"))
    cards = tokens / TOKENS / CARDS * Adaptation(SMALL, "lora").step
    first = "reading and encoding on one core bind first" if alone > cards else "the cards bind"
    order = stages["batches"]["cpu_seconds"]
    return (
        f"Before the first step: {count:,} rows, {tokens / 1e6:.1f} million tokens, took {alone:.0f} CPU seconds to read, "
        "check and encode. One process encodes while the others wait. An epoch of them, lora on the 1B model, computes for "
        f"{cards:.0f} s on the {CARDS} cards: in a first run of one epoch **{first}**. Later runs find the encoded rows in "
        f"the cache. Reading, checking and the order of an epoch ({order:.1f} s) are done by each process for itself."
    )
