"""Wrap, save, load and merge models with peft, for the strategies that peft implements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug import (
    AdaptContext,
    BaseInfo,
    Capabilities,
    Strategy,
    TaskHead,
    UsageError,
    modules_to_save,
)

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from tlplug_plugins.strategies.layers.virtual_tokens import VirtualTokens

AUTO, WEIGHTS = "auto", "adapter_model.safetensors"


class PeftMethod(Strategy):
    """A method of peft's: frozen weights, what peft adds to them, and the head, which is trained whole.

    A subclass defines the added weights by `peft_config`.
    """

    def peft_config(self, model: PreTrainedModel, head: list[str]) -> Any:
        """Return peft's configuration of the method.

        Args:
            head: the names of the modules that are trained whole, for `modules_to_save`.
        """
        raise NotImplementedError

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        head = modules_to_save(model, context.head.head_modules)
        try:
            return self.wrap(model, self.peft_config(model, head))  # type: ignore[arg-type]
        except ValueError as error:
            raise UsageError(f"peft rejects {self.changed_fields() or 'this model'}: {error}") from error

    def changed_fields(self) -> str:
        """Return the fields that differ from their defaults, as a user types them."""
        defaults = vars(type(self.config)())
        changed = {name: value for name, value in vars(self.config).items() if value != defaults[name]}
        return ", ".join(f"strategy.{name}={value}" for name, value in changed.items())

    def wrap(self, model: nn.Module, config: Any) -> nn.Module:
        """Freeze the model and add peft's weights; the modules to save stay trainable."""
        from peft import get_peft_model

        return get_peft_model(model, config)  # type: ignore[no-any-return]

    def save(self, model: nn.Module, folder: Path) -> None:
        """Save for `peft.PeftModel.from_pretrained(base, folder)`, with the config.json of `base`."""
        model.save_pretrained(folder)
        model.config.save_pretrained(folder)

    def merge(self, model: nn.Module) -> nn.Module:
        """Return the base model with the added weights merged into its own."""
        return model.merge_and_unload()  # type: ignore[operator,no-any-return]

    def load(self, model: nn.Module, folder: Path, base: BaseInfo) -> nn.Module:
        # peft would also load a pickle.
        if not (folder / WEIGHTS).is_file():
            raise UsageError(f"{folder} has no {WEIGHTS}; other files are not loaded")
        return self.load_adapter(model, folder)

    def load_adapter(self, model: nn.Module, folder: Path) -> nn.Module:
        from peft import PeftModel

        return PeftModel.from_pretrained(model, folder)  # type: ignore[no-any-return]


class VirtualTokenMethod(PeftMethod):
    """A method that puts virtual tokens before the text.

    A subclass names the model that reads them by `model_class`.
    """

    capabilities = Capabilities(mergeable=False)

    @dataclass
    class Config:
        num_virtual_tokens: int = 20
        """The number of virtual tokens before each text."""

        def __post_init__(self) -> None:
            if self.num_virtual_tokens < 1:
                raise ValueError(f"num_virtual_tokens is {self.num_virtual_tokens}; it must be at least 1")

    def model_class(self) -> type[VirtualTokens]:
        raise NotImplementedError

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        if base is not None and base.kind == "decoder" and getattr(head.config, "packing", False):
            return "packed rows cannot have virtual tokens before each of them; set head.packing=false."
        return None

    def wrap(self, model: nn.Module, config: Any) -> nn.Module:
        return self.model_class()(model, config)

    def load_adapter(self, model: nn.Module, folder: Path) -> nn.Module:
        return self.model_class().from_folder(model, folder)


def check_names(field: str, names: Any) -> None:
    """Raise a ValueError unless the value is `auto` or a list of names."""
    if names != AUTO and not (isinstance(names, list) and names and all(isinstance(n, str) for n in names)):
        raise ValueError(f"{field} is {names!r}; it must be '{AUTO}' or a list of layer names")


def task_type(model: PreTrainedModel) -> str:
    """Return peft's task type of the model's class, so that plain peft prepends virtual tokens as it does here.

    peft has no type for masked language models; its class for features handles their logits correctly.
    """
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_QUESTION_ANSWERING_MAPPING,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
        MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    )

    mappings = {
        "SEQ_CLS": MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
        "TOKEN_CLS": MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
        "QUESTION_ANS": MODEL_FOR_QUESTION_ANSWERING_MAPPING,
        "SEQ_2_SEQ_LM": MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
        "CAUSAL_LM": MODEL_FOR_CAUSAL_LM_MAPPING,
    }
    kind = type(model.config)
    return next(
        (name for name, models in mappings.items() if kind in models and isinstance(model, models[kind])),
        "FEATURE_EXTRACTION",
    )
