"""Train keys and values that precede those of the text in every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tlplug import BaseInfo, OptimizerSettings, TaskHead
from tlplug_plugins.strategies.bases.peft_method import VirtualTokenMethod, task_type

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tlplug_plugins.strategies.layers.virtual_tokens import VirtualTokens


class PrefixTuning(VirtualTokenMethod):
    """Prefix tuning: learnt keys and values before those of the text, in every layer.

    attention(q, [P_k; k], [P_v; v]) with P_k, P_v [tokens, heads * width] learnt for each layer (Li & Liang 2021); of an
    encoder-decoder in the decoder's attention to itself. The head is trained whole. Take it for generation with a big
    frozen model, where one batch is to hold rows of several tasks. Not as a first choice for classification: `lora`
    learns faster and costs nothing after merging, while a prefix is read in every step. It needs a model that takes
    keys and values of earlier tokens, and does not go with gradient checkpointing.
    """

    contract = 1
    optimizer_defaults = OptimizerSettings(
        learning_rate=3e-2, weight_decay=0.0, schedule="linear", warmup=0.1
    )

    @dataclass
    class Config(VirtualTokenMethod.Config):
        prefix_projection: bool = False
        """Learn smaller embeddings and two layers that make keys and values of them; only the product is saved."""

    def model_class(self) -> type[VirtualTokens]:
        from tlplug_plugins.strategies.layers.virtual_tokens import PrefixTuned

        return PrefixTuned

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        from tlplug_plugins.strategies.layers.virtual_tokens import takes_prefix

        if base is None:
            return None
        if base.gradient_checkpointing:
            return "it uses the cache of keys and values, which gradient checkpointing disables."
        if takes_prefix(base, head):
            return super().why_incompatible(head, base)
        return (
            f"transformers' {base.config.model_type} accepts no keys and values of earlier tokens with this head, which a "
            "prefix consists of."
        )

    def peft_config(self, model: PreTrainedModel, head: list[str]) -> Any:
        from peft import PrefixTuningConfig

        from tlplug_plugins.strategies.layers.virtual_tokens import prefix_shape

        return PrefixTuningConfig(
            task_type=task_type(model),
            num_virtual_tokens=self.config.num_virtual_tokens,
            prefix_projection=self.config.prefix_projection,
            modules_to_save=head or None,
            **prefix_shape(model.config),
        )
