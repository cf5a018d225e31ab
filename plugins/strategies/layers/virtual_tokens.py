"""Models that read P virtual tokens before those of the text, and show nothing of it in what they give back.

peft's own classes do this in a way of its own for each kind of head, some of which give wrong places to padded rows or
do not know the head. These hold the same weights in the same files, and have one way for all.
"""

from __future__ import annotations

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

from tlplug import UsageError

PER_TOKEN = {"logits": 3, "start_logits": 2, "end_logits": 2, "last_hidden_state": 3}
"""How many dimensions an output has where there is one of it for each token."""

SPECIAL = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")


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
        if self.places is not None and length + self.virtual > self.places:
            raise UsageError(
                f"a row of {length} tokens and {self.virtual} virtual ones do not fit into the {self.places} positions "
                f"of the base model: set data.max_length={self.places - self.virtual} or less"
            )

    @cached_property
    def places(self) -> int | None:
        """How many tokens the model has positions for; some begin to count after the one that padding has."""
        count = getattr(self.config, "max_position_embeddings", None)
        tables = [m for name, m in self.named_modules() if name.endswith("position_embeddings")]
        unused = [m.padding_idx + 1 for m in tables if getattr(m, "padding_idx", None) is not None]
        return None if count is None else count - max(unused, default=0)


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
        """A token that means nothing special to the model."""
        model = self.get_base_model()
        known = [model.config, getattr(model, "generation_config", None)]
        ids = [getattr(config, name, None) for config in known for name in SPECIAL]
        special = {token for found in ids for token in (found if isinstance(found, list) else [found])}
        return next(
            token for token in range(model.config.get_text_config().vocab_size) if token not in special
        )

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
