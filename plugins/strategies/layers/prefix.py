"""Models that find P learnt keys and values in their cache, and which models those can be."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from tlplug import BaseInfo, LoadOptions, TaskHead
from tlplug_plugins.strategies.layers.virtual_tokens import VirtualTokens


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
