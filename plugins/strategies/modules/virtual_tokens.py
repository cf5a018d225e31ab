"""Models that read P virtual tokens before those of the text, and show nothing of it in what they give back.

peft's own classes do this in a way of its own for each kind of head, some of which give wrong places to padded rows or
do not know the head. These hold the same weights in the same files, and have one way for all.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
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
"""How many dimensions an output has where there is one of it for each token."""


class VirtualTokens(PeftModel):
    """A frozen model and P virtual tokens."""

    @classmethod
    def loaded(cls, model: nn.Module, folder: Path) -> Self:
        found = cls(model, PeftConfig.from_pretrained(folder))
        found.load_adapter(str(folder), "default")
        return found

    @property
    def virtual(self) -> int:
        return int(self.active_peft_config.num_virtual_tokens)

    def led(self, values: torch.Tensor, leading: int) -> torch.Tensor:
        """[B, T] -> [B, P + T]."""
        return pad(values, (self.virtual, 0), value=leading)

    def require_room(self, length: int) -> None:
        """An index that is no position would be an error that nobody understands, and on a GPU a crash."""
        places = getattr(self.config, "max_position_embeddings", None)
        if places is not None and length + self.virtual > places:
            raise UsageError(
                f"a row of {length} tokens and {self.virtual} virtual ones do not fit into the {places} positions of the "
                f"base model: set data.max_length={places - self.virtual} or less"
            )


class PromptTuned(VirtualTokens):
    """P learnt embeddings in the place of those of P tokens that are put before the text.

    The tokens are real ones, so that whatever looks at ids (where padding begins, where a text ends) sees some.
    """

    def begin_as(self, ids: list[int]) -> None:
        """Start from the embeddings of these tokens, repeated or cut to P; without any, of P drawn at random."""
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
                inputs[name] = self.led(inputs[name], leading)
        if inputs.get("position_ids") is not None:
            first = torch.arange(self.virtual, device=input_ids.device).expand(len(input_ids), -1)
            inputs["position_ids"] = torch.cat([first, inputs["position_ids"] + self.virtual], dim=1)
        with self.prompt_in_place():
            output = self.get_base_model()(input_ids=self.led(input_ids, self.stand_in()), **inputs)
        return without_first(output, self.virtual)

    def generate(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **settings: Any
    ) -> torch.Tensor:
        model = self.get_base_model()
        with self.prompt_in_place():
            written: torch.Tensor = model.generate(
                input_ids=self.led(input_ids, self.stand_in()),
                attention_mask=self.led(attention_mask, 1),
                **settings,
            )
        return written if model.config.is_encoder_decoder else written[:, self.virtual :]

    def stand_in(self) -> int:
        """A token that means nothing to any model."""
        config = self.get_base_model().config
        ends = (config.eos_token_id, getattr(self.get_base_model(), "generation_config", None))
        special = {config.pad_token_id, config.bos_token_id, *as_list(ends[0])}
        if ends[1] is not None:
            special |= {*as_list(ends[1].eos_token_id), ends[1].decoder_start_token_id}
        return next(token for token in range(config.get_text_config().vocab_size) if token not in special)

    @contextmanager
    def prompt_in_place(self) -> Iterator[None]:
        """The first time that an embedding is asked, its first P outputs are the prompt.

        Later calls are those of a decoder: of an encoder's, or for the next tokens.
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
                    f"{type(model).__name__} did not ask its embedding, where the prompt is put in"
                )
        finally:
            while handles:
                handles.pop().remove()


class PrefixTuned(VirtualTokens):
    """P learnt keys and values in each layer, which the model finds in its cache as if it had read P tokens already."""

    def forward(self, input_ids: torch.Tensor, **inputs: Any) -> Any:
        model, prefix = self.get_base_model(), self.get_prompt(len(input_ids))
        mask = "decoder_attention_mask" if model.config.is_encoder_decoder else "attention_mask"
        if inputs.get(mask) is not None:
            inputs[mask] = self.led(inputs[mask], 1)
        if not model.config.is_encoder_decoder:
            self.require_room(input_ids.shape[1])
        if inputs.get("position_ids") is not None:
            inputs["position_ids"] = inputs["position_ids"] + self.virtual
        return model(input_ids=input_ids, past_key_values=prefix, **inputs)

    def generate(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **settings: Any
    ) -> torch.Tensor:
        """What is generated goes on from P + T tokens, of which the first P lie in the cache."""
        model = self.get_base_model()
        beams = settings.get("num_beams") or model.generation_config.num_beams or 1
        settings["past_key_values"] = self.get_prompt(len(input_ids) * beams)
        if model.config.is_encoder_decoder:
            # A decoder begins with its start token, whatever its cache holds.
            return model.generate(input_ids=input_ids, attention_mask=attention_mask, **settings)  # type: ignore[no-any-return]
        written: torch.Tensor = model.generate(
            input_ids=self.led(input_ids, 0), attention_mask=self.led(attention_mask, 1), **settings
        )
        return written[:, self.virtual :]


def without_first(output: Any, count: int) -> Any:
    """A model's output without what it says of its first tokens; what its decoder says is of other tokens."""
    if isinstance(output, Seq2SeqLMOutput):
        return output
    for name, dimensions in PER_TOKEN.items():
        value = output.get(name)
        if value is not None and value.ndim == dimensions:
            output[name] = value[:, count:]
    if output.get("hidden_states") is not None:
        output["hidden_states"] = tuple(states[:, count:] for states in output["hidden_states"])
    return output


def as_list(ids: Any) -> list[int]:
    return ids if isinstance(ids, list) else [] if ids is None else [ids]


def prefix_shape(config: Any) -> dict[str, int]:
    """Layers, heads and their width together, of the attention whose keys and values get a prefix.

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
    """Whether what this head is put on takes keys and values of earlier tokens."""
    from transformers import AutoModel

    trunk = (
        AutoModel._model_mapping[type(base.config)] if type(base.config) in AutoModel._model_mapping else None
    )
    if not reads_cache(trunk):
        return False
    if base.kind != "encoder-decoder" or not head.output_modules:
        return True
    # Some heads use the encoder alone, or a decoder that they give no cache to: only the model tells.
    with torch.device("meta"):
        return reads_cache(type(head.load_model(base, LoadOptions(random_weights=True)).base_model))


def reads_cache(cls: type | None) -> bool:
    return cls is not None and "past_key_values" in inspect.signature(cls.forward).parameters
