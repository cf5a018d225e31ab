"""The records that the core and the plugins exchange."""

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
"""The result of a head's `collate`: tensors of B rows by name, one of them `id`."""


@dataclass(frozen=True)
class BaseInfo:
    """A description of the base model, whose weights are not loaded yet."""

    source: str
    """The user's name for the model."""
    path: str
    """The argument of transformers' `from_pretrained`: a local folder or a hub id."""
    revision: str | None
    fingerprint: str
    """A text that changes with the weights; part of the key of cached baselines."""
    config: PretrainedConfig
    processor: Any
    """The tokenizer, image processor or feature extractor; None where the model's files have none."""
    max_length: int | None
    """The number of tokens, special ones included, that an input is truncated to; None without a tokenizer."""
    attention: str | None = None
    trust_remote_code: bool = False
    dtype: str = "float32"
    """The frozen weights' dtype by torch's name; trainable weights are in float32."""
    gradient_checkpointing: bool = False
    fast_dropout: bool = False
    compile: bool = False

    @property
    def has_tokenizer(self) -> bool:
        """Whether its inputs are texts."""
        return hasattr(self.processor, "convert_ids_to_tokens")

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The processor of a base model that reads texts.

        Raises:
            TypeError: the base model reads something else; a head for texts refuses it in `why_incompatible`.
        """
        if not self.has_tokenizer:
            processor = "no processor" if self.processor is None else f"a {type(self.processor).__name__}"
            raise TypeError(f"{self.source} has {processor}, not a tokenizer")
        return self.processor

    @property
    def kind(self) -> str:
        """`encoder`, `decoder` (a token attends only to earlier ones) or `encoder-decoder`."""
        if self.config.is_encoder_decoder:
            return "encoder-decoder"
        from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

        causal = type(self.config) in MODEL_FOR_CAUSAL_LM_MAPPING
        masked = type(self.config) in MODEL_FOR_MASKED_LM_MAPPING
        # An architecture with remote code is in no mapping.
        causal_name = any("CausalLM" in name for name in self.config.architectures or ())
        return "decoder" if (causal or causal_name) and not masked else "encoder"


@dataclass(frozen=True)
class LoadOptions:
    """Options for loading the weights of a base model."""

    quantization: Any = None
    """A transformers quantization config; its skipped modules have to name `head.head_modules`."""
    random_weights: bool = False
    """Initialize the same architecture at random instead of loading the pretrained weights."""
    device: str | None = None
    """The device of a quantized model; set by the core."""


@dataclass(frozen=True)
class StepOutput:
    """The loss of one batch."""

    loss: torch.Tensor
    """Scalar, a mean over the batch's items: examples, or tokens where each has a loss of its own."""
    num_items: float
    """Number of items or their total weight, above 0; the batch's weight where losses of several batches are averaged."""
    logs: Mapping[str, float] = field(default_factory=dict)
    """Further values for the log, such as a penalty's share of the loss."""


@dataclass(frozen=True)
class Outcome:
    """The result of a training run, or of a baseline without training, on the test split."""

    predictions: list[dict[str, Any]]
    scores: dict[str, float]
    example_scores: list[float]
    cost: dict[str, float] | None = None
    tuned: dict[str, Any] = field(default_factory=dict)
    """The result of `head.tune`, with which the predictions were decoded."""
    validation: dict[str, float] = field(default_factory=dict)
    """The scores of the last validation."""
    curve: list[list[float]] = field(default_factory=list)
    """Pairs of training examples seen and primary score, one for each validation during training."""
