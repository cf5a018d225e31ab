"""Put P virtual tokens, or P learnt keys and values in each layer, before those of the text.

peft's own classes do this in a way of its own for each kind of head, some of which give wrong places to padded rows or
do not know the head. These hold the same weights in the same files, and have one way for all.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from peft import PeftConfig, PeftModel
from torch import nn
from torch.nn.functional import pad
from transformers import PreTrainedModel
from transformers.modeling_outputs import Seq2SeqLMOutput

from tlplug import BaseInfo, LoadOptions, TaskHead, UsageError

PER_TOKEN = {"logits": 3, "start_logits": 2, "end_logits": 2, "last_hidden_state": 3}
"""The number of dimensions of an output that has one entry for each token."""

SPECIAL = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")


class VirtualTokens(PeftModel):
    """A frozen model and P virtual tokens."""

    @classmethod
    def from_folder(cls, model: nn.Module, folder: Path) -> Self:
        adapted = cls(model, PeftConfig.from_pretrained(folder))
        adapted.load_adapter(str(folder), "default")
        return adapted

    @property
    def virtual(self) -> int:
        return int(self.active_peft_config.num_virtual_tokens)

    def prepend(self, values: torch.Tensor, leading: int) -> torch.Tensor:
        """Return the values [B, T] as [B, P + T]."""
        return pad(values, (self.virtual, 0), value=leading)

    def require_room(self, length: int) -> None:
        """Raise a UsageError if a row does not fit; on a GPU an invalid position would crash the process."""
        if self.max_positions is not None and length + self.virtual > self.max_positions:
            raise UsageError(
                f"a row of {length} tokens and {self.virtual} virtual ones do not fit into the "
                f"{self.max_positions} positions of the base model: set "
                f"data.max_length={self.max_positions - self.virtual} or less"
            )

    @cached_property
    def max_positions(self) -> int | None:
        """The number of tokens with a position; some models count from the one after padding's."""
        count = getattr(self.config, "max_position_embeddings", None)
        tables = [m for name, m in self.named_modules() if name.endswith("position_embeddings")]
        unused = [m.padding_idx + 1 for m in tables if getattr(m, "padding_idx", None) is not None]
        return None if count is None else count - max(unused, default=0)


class PromptTuned(VirtualTokens):
    """A frozen model whose P first embeddings are learnt.

    P real tokens stand before the text, for code that reads ids, such as the detection of padding.
    """

    def initialize_prompt(self, ids: list[int]) -> None:
        """Copy the embeddings of these tokens, repeated or cut to P; without tokens, of P random ones."""
        embeddings = self.get_base_model().get_input_embeddings().weight
        drawn = torch.tensor((ids * self.virtual)[: self.virtual], dtype=torch.long)
        if not ids:
            drawn = torch.randint(0, len(embeddings), (self.virtual,))
        learnt = self.prompt_encoder["default"].embedding.weight
        with torch.no_grad():
            learnt.copy_(embeddings[drawn.to(embeddings.device)])

    def forward(self, input_ids: torch.Tensor, **inputs: Any) -> Any:
        self.require_room(input_ids.shape[1])
        for name, leading in (("attention_mask", 1), ("token_type_ids", 0)):
            if inputs.get(name) is not None:
                inputs[name] = self.prepend(inputs[name], leading)
        if inputs.get("position_ids") is not None:
            first = torch.arange(self.virtual, device=input_ids.device).expand(len(input_ids), -1)
            inputs["position_ids"] = torch.cat([first, inputs["position_ids"] + self.virtual], dim=1)
        with self.prompt_inserted():
            output = self.get_base_model()(input_ids=self.prepend(input_ids, self.placeholder_id()), **inputs)
        return remove_first(output, self.virtual)

    def generate(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **settings: Any
    ) -> torch.Tensor:
        model = self.get_base_model()
        with self.prompt_inserted():
            generated: torch.Tensor = model.generate(
                input_ids=self.prepend(input_ids, self.placeholder_id()),
                attention_mask=self.prepend(attention_mask, 1),
                **settings,
            )
        return generated if model.config.is_encoder_decoder else generated[:, self.virtual :]

    def placeholder_id(self) -> int:
        """Return the id of a token without a special meaning."""
        model = self.get_base_model()
        configs = [model.config, getattr(model, "generation_config", None)]
        ids = [getattr(config, name, None) for config in configs for name in SPECIAL]
        special = {token for value in ids for token in (value if isinstance(value, list) else [value])}
        return next(
            token for token in range(model.config.get_text_config().vocab_size) if token not in special
        )

    @contextmanager
    def prompt_inserted(self) -> Iterator[None]:
        """Replace the first P outputs of the first call of an embedding by the prompt.

        Later calls are those of a decoder after its encoder, or for the next tokens.
        """
        model, handles = self.get_base_model(), []

        def replace(_: nn.Module, __: Any, embedded: torch.Tensor) -> torch.Tensor:
            while handles:
                handles.pop().remove()
            prompt = self.get_prompt(len(embedded)).to(embedded.dtype)
            return torch.cat([prompt, embedded[:, self.virtual :]], dim=1)

        # An encoder's may be another module than the model's own, though their weights are the same.
        parts = [part for part in (model, model.get_encoder()) if isinstance(part, PreTrainedModel)]
        readers = {part.get_input_embeddings() for part in parts}
        handles += [reader.register_forward_hook(replace) for reader in readers]
        try:
            yield
            if handles:
                raise RuntimeError(
                    f"{type(model).__name__} did not call its embedding, into which the prompt is inserted"
                )
        finally:
            while handles:
                handles.pop().remove()


def remove_first(output: Any, count: int) -> Any:
    """Return a model's output without its first tokens; a decoder's output has other tokens and is unchanged."""
    if isinstance(output, Seq2SeqLMOutput):
        return output
    for name, dimensions in PER_TOKEN.items():
        value = output.get(name)
        if value is not None and value.ndim == dimensions:
            output[name] = value[:, count:]
    if output.get("hidden_states") is not None:
        output["hidden_states"] = tuple(states[:, count:] for states in output["hidden_states"])
    return output


class PrefixTuned(VirtualTokens):
    """P learnt keys and values in each layer, which the model finds in its cache as if it had read P tokens already."""

    def forward(self, input_ids: torch.Tensor, **inputs: Any) -> Any:
        model, prefix = self.get_base_model(), self.get_prompt(len(input_ids))
        mask = "decoder_attention_mask" if model.config.is_encoder_decoder else "attention_mask"
        if inputs.get(mask) is not None:
            inputs[mask] = self.prepend(inputs[mask], 1)
        if not model.config.is_encoder_decoder:
            self.require_room(input_ids.shape[1])
        if inputs.get("position_ids") is not None:
            inputs["position_ids"] = inputs["position_ids"] + self.virtual
        return model(input_ids=input_ids, past_key_values=prefix, **inputs)

    def generate(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **settings: Any
    ) -> torch.Tensor:
        """Generate after P + T tokens, of which the first P are in the cache."""
        model = self.get_base_model()
        beams = settings.get("num_beams") or model.generation_config.num_beams or 1
        settings["past_key_values"] = self.get_prompt(len(input_ids) * beams)
        if model.config.is_encoder_decoder:
            # A decoder starts with its start token, whatever its cache holds.
            return model.generate(input_ids=input_ids, attention_mask=attention_mask, **settings)  # type: ignore[no-any-return]
        generated: torch.Tensor = model.generate(
            input_ids=self.prepend(input_ids, 0), attention_mask=self.prepend(attention_mask, 1), **settings
        )
        return generated[:, self.virtual :]


def prefix_shape(config: Any) -> dict[str, int]:
    """Return the numbers of layers and heads and the total width of the attention with a prefix.

    An encoder-decoder's are its decoder's; peft would ask its encoder. Of the others peft knows shared heads too.
    """
    shape = {"encoder_hidden_size": config.get_text_config().hidden_size, "num_transformer_submodules": 1}
    if not config.is_encoder_decoder:
        return shape
    heads = getattr(config, "decoder_attention_heads", None) or config.num_attention_heads
    layers = getattr(config, "decoder_layers", None) or getattr(config, "num_decoder_layers", None)
    width = getattr(config, "d_kv", None) or config.hidden_size // heads
    return {
        **shape,
        "num_transformer_submodules": 2,
        "num_layers": layers or config.num_hidden_layers,
        "num_attention_heads": heads,
        "token_dim": heads * width,
    }


def takes_prefix(base: BaseInfo, head: TaskHead) -> bool:
    """Return whether the head's model takes keys and values of earlier tokens."""
    from transformers import MODEL_MAPPING

    if not reads_cache(MODEL_MAPPING.get(type(base.config), None)):
        return False
    if base.kind != "encoder-decoder" or not head.head_modules:
        return True
    # Some heads use the encoder alone, or a decoder without a cache: only the model shows it.
    with torch.device("meta"):
        return reads_cache(type(head.load_model(base, LoadOptions(random_weights=True)).base_model))


def reads_cache(cls: type | None) -> bool:
    return cls is not None and "past_key_values" in inspect.signature(cls.forward).parameters
