"""The records that the core and the plugins hand to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


Row = Mapping[str, Any]
"""One example: the head's columns by the head's names, and `id`, its position in the split's source."""

Rows = Sequence[Row]

Batch = dict[str, Any]
"""What a head's `collate` gives: tensors of B rows by name, among them `id`."""


@dataclass(frozen=True)
class BaseInfo:
    """The base model, found but not loaded."""

    source: str
    """As the user named it."""
    path: str
    """What transformers' `from_pretrained` takes: a local folder or a hub id."""
    revision: str | None
    fingerprint: str
    """Changes when the weights do; part of the key under which baselines are cached."""
    config: PretrainedConfig
    processor: Any
    """What prepares its inputs: a tokenizer, an image processor or a feature extractor; None where its files have none."""
    max_length: int | None
    """Tokens, special ones included, at which an input is cut; None where inputs are no tokens."""
    attention: str | None = None
    trust_remote_code: bool = False
    dtype: str = "float32"
    """Of the weights that do not move, as torch names it; what moves is held in float32."""
    gradient_checkpointing: bool = False
    fast_dropout: bool = False
    compile: bool = False

    @property
    def has_tokenizer(self) -> bool:
        """Whether its inputs are texts."""
        return hasattr(self.processor, "convert_ids_to_tokens")

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Return the processor of a base model that reads texts.

        Raises:
            TypeError: it reads something else; a head of texts says so in `why_incompatible`.
        """
        if not self.has_tokenizer:
            what = "no processor" if self.processor is None else f"a {type(self.processor).__name__}"
            raise TypeError(f"{self.source} has {what}, not a tokenizer")
        return self.processor

    @property
    def kind(self) -> str:
        """`encoder`, `decoder` (each token sees those before it) or `encoder-decoder`."""
        if self.config.is_encoder_decoder:
            return "encoder-decoder"
        from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

        causal = type(self.config) in MODEL_FOR_CAUSAL_LM_MAPPING
        masked = type(self.config) in MODEL_FOR_MASKED_LM_MAPPING
        # An architecture of its own, with code that is not transformers', is in no mapping.
        named = any("CausalLM" in name for name in self.config.architectures or ())
        return "decoder" if (causal or named) and not masked else "encoder"


@dataclass(frozen=True)
class LoadOptions:
    """How the weights of a base model are loaded."""

    quantization: Any = None
    """A transformers quantization config; its skipped modules have to name `head.head_modules`."""
    random_weights: bool = False
    """The same architecture without the pretrained weights."""
    device: str | None = None
    """Where a quantized model is loaded to; filled in by the core, which knows the process's device."""


@dataclass(frozen=True)
class StepOutput:
    """The loss of one batch."""

    loss: torch.Tensor
    """Scalar, a mean over what the batch is made of: examples, or tokens where each has a loss of its own."""
    num_items: float
    """How many of them there are, or what they weigh together; above 0. Losses of several batches are put together by it."""
    logs: Mapping[str, float] = field(default_factory=dict)
    """Further values for the log, such as a penalty's share of the loss."""


@dataclass(frozen=True)
class Outcome:
    """What one training, or a baseline that needs none, gave on the test split."""

    predictions: list[dict[str, Any]]
    scores: dict[str, float]
    example_scores: list[float]
    cost: dict[str, float] | None = None
    tuned: dict[str, Any] = field(default_factory=dict)
    """What `head.tune` found; the predictions were decoded with it."""
    validation: dict[str, float] = field(default_factory=dict)
    """The scores of the last validation."""
    curve: list[list[float]] = field(default_factory=list)
    """For each validation while training, how many training examples had been seen and the primary score."""
