"""The weights of a base model, with a head on them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tlplug.errors import UsageError
from tlplug.interfaces import BaseInfo, LoadOptions
from tlplug.runtime.compat import has_auto_model

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


def has_model(auto: Any, base: BaseInfo) -> bool:
    """Whether transformers has a model of this Auto class for the base model's architecture."""
    return has_auto_model(auto, base.config) or base.trust_remote_code


def load_pretrained(auto: Any, base: BaseInfo, options: LoadOptions, **changes: Any) -> PreTrainedModel:
    """The base model through a transformers Auto class, in training mode, in `base.dtype` where it is not quantized.

    Parameters that the base model's files do not have, or have in another shape, such as a new head's, get the
    attribute `is_new`.

    Args:
        auto: the Auto class, which decides the head.
        changes: values for the model's config, such as `num_labels`.
    """
    config = copy.deepcopy(base.config)
    padding = {"pad_token_id": base.tokenizer.pad_token_id} if base.has_tokenizer else {}
    config.update({**padding, **changes})
    common: dict[str, Any] = {"trust_remote_code": base.trust_remote_code, "dtype": base.dtype}
    if base.attention is not None:
        common["attn_implementation"] = base.attention
    if options.random_weights:
        with attending(base):
            model = auto.from_config(config, **common)
    else:
        with readable(base.source), attending(base):
            model, told = auto.from_pretrained(
                base.path,
                config=config,
                revision=base.revision,
                use_safetensors=True,
                output_loading_info=True,
                # A classifier that came with the base model may tell other classes apart than the task's.
                ignore_mismatched_sizes=True,
                **common,
                **quantized(auto, config, options),
            )
        other = [name for name, *_ in told["mismatched_keys"]]
        if strange := [name for name in other if name.startswith(f"{model.base_model_prefix}.")]:
            raise UsageError(f"{base.source}: {strange[0]} has another shape than its config says")
        new = {*told["missing_keys"], *other}
        for name, parameter in model.named_parameters():
            parameter.is_new = name in new
    keep_trainable(model)
    if base.has_tokenizer:
        make_room_for_tokens(model, len(base.tokenizer))
    if base.gradient_checkpointing:
        model.config.use_cache = False
        model.gradient_checkpointing_enable({"use_reentrant": False})
    # from_pretrained leaves eval mode on, and Lightning keeps it: dropout would silently be off.
    return model.train()


@contextmanager
def attending(base: BaseInfo) -> Iterator[None]:
    """An attention implementation that there is not, or not for this model, is an error that names the key."""
    try:
        yield
    except (ValueError, ImportError) as error:
        told = str(error).lower()
        if base.attention is None or not ("attention" in told or "attn" in told):
            raise
        raise UsageError(
            f"model.attn_implementation={base.attention} cannot be used with {base.source}: {error}"
        ) from error


@contextmanager
def readable(source: str) -> Iterator[None]:
    """Weights that are damaged, or not there as safetensors, are an error that names the base model."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        raise UsageError(f"base model {source}: its weights cannot be read: {error}") from error


def quantized(auto: Any, config: PretrainedConfig, options: LoadOptions) -> dict[str, Any]:
    """The quantization, with the layers left out that transformers leaves out by itself where none is named.

    It is one or the other there: with a head's modules named, an output embedding that is tied to the input's would
    be quantized.
    """
    if options.quantization is None:
        return {}
    import torch
    from transformers.quantizers.base import get_keys_to_not_convert

    quantization = copy.deepcopy(options.quantization)
    with torch.device("meta"):
        usual = get_keys_to_not_convert(auto.from_config(config))
    named = quantization.llm_int8_skip_modules or []
    quantization.llm_int8_skip_modules = list(dict.fromkeys([*named, *usual]))
    return {"quantization_config": quantization, "device_map": {"": options.device or "cpu"}}


def keep_trainable(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from packing 4-bit weights anew at the first evaluation, on a CPU that has AVX-512 bfloat16.

    Packed weights pass no gradient on, and are not unpacked when training goes on after a validation.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def make_room_for_tokens(model: PreTrainedModel, tokens: int) -> None:
    """An embedding for each token of the tokenizer, where tokens were added to it.

    A new row is the mean of those that were there (Hewitt 2021, "Initializing new word embeddings for pretrained
    language models"), the same each time: a strategy that does not train it need not save it.
    """
    import torch

    present = model.get_input_embeddings().weight.shape[0]
    if tokens <= present:
        return
    model.resize_token_embeddings(tokens, mean_resizing=False)
    layers = {id(layer): layer for layer in (model.get_input_embeddings(), model.get_output_embeddings())}
    with torch.no_grad():
        for layer in filter(None, layers.values()):
            layer.weight[present:] = layer.weight[:present].mean(dim=0)
