"""Train token embeddings that precede those of the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, cast

from tlplug import AdaptContext, OptimizerSettings
from tlplug_plugins.strategies.bases.peft_method import VirtualTokenMethod, task_type

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from tlplug_plugins.strategies.layers.virtual_tokens import PromptTuned, VirtualTokens


class PromptTuning(VirtualTokenMethod):
    """Prompt tuning: learnt token embeddings before the text of a frozen model.

    [P; E(x)] with P [tokens, D] learnt and the embeddings E(x) [T, D] frozen (Lester et al. 2021); an encoder-decoder
    reads P in its encoder. The head is trained whole. Take it where one big model serves many tasks: a task is a few
    thousand numbers that go in with the text. Not for small models or few steps: it needs high rates and many epochs,
    and catches up with other methods from some billions of weights on. Virtual tokens take the place of as many of the
    text where the model's positions end. A model that answers by its first token answers by the first virtual one.
    """

    contract = 1
    optimizer_defaults = OptimizerSettings(
        learning_rate=3e-2, weight_decay=0.0, schedule="linear", warmup=0.1
    )

    @dataclass
    class Config(VirtualTokenMethod.Config):
        prompt_tuning_init_text: Optional[str] = None  # noqa: UP045
        """Virtual tokens begin as this text's, again and again or cut; without it as tokens drawn at random."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.prompt_tuning_init_text is not None and not self.prompt_tuning_init_text.strip():
                raise ValueError("prompt_tuning_init_text is blank; leave it out or write a text")

    def model_class(self) -> type[VirtualTokens]:
        from tlplug_plugins.strategies.layers.virtual_tokens import PromptTuned

        return PromptTuned

    def peft_config(self, model: PreTrainedModel, head: list[str]) -> Any:
        from peft import PromptTuningConfig

        return PromptTuningConfig(
            task_type=task_type(model),
            num_virtual_tokens=self.config.num_virtual_tokens,
            # The decoder of an encoder-decoder gets none: peft would make twice as many and use half of them.
            num_transformer_submodules=1,
            token_dim=model.get_input_embeddings().weight.shape[1],
            modules_to_save=head or None,
        )

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        adapted = cast("PromptTuned", super().adapt(model, context))
        ids = context.base.tokenizer(self.config.prompt_tuning_init_text or "", add_special_tokens=False)[
            "input_ids"
        ]
        adapted.initialize_prompt(ids)
        return adapted
