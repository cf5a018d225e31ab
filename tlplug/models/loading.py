"""Load the weights of a base model with a head."""

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
    """Return whether transformers has a model of this Auto class for the base model's architecture."""
    return has_auto_model(auto, base.config) or base.trust_remote_code


def load_pretrained(auto: Any, base: BaseInfo, options: LoadOptions, **changes: Any) -> PreTrainedModel:
    """Load the base model with a transformers Auto class, in training mode and, unless quantized, in `base.dtype`.

    Each parameter gets the attribute `is_new`, true where the base model's files lack it or have it in another shape,
    as for a new head.

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
        with explain_attention_errors(base):
            model = auto.from_config(config, **common)
    else:
        with explain_weight_errors(base.source), explain_attention_errors(base):
            model, loading_info = auto.from_pretrained(
                base.path,
                config=config,
                revision=base.revision,
                use_safetensors=True,
                output_loading_info=True,
                # A classifier in the base model's files may have other classes than the task.
                ignore_mismatched_sizes=True,
                **common,
                **quantization_arguments(auto, config, options),
            )
        mark_new_parameters(model, loading_info, base)
    disable_cpu_repacking(model)
    if base.has_tokenizer:
        resize_embeddings(model, len(base.tokenizer))
    if base.gradient_checkpointing:
        model.config.use_cache = False
        model.gradient_checkpointing_enable({"use_reentrant": False})
    # from_pretrained returns a model in eval mode, and Lightning keeps the mode: dropout would silently be off.
    return model.train()


def mark_new_parameters(model: PreTrainedModel, loading_info: dict[str, Any], base: BaseInfo) -> None:
    """Set the attribute `is_new` of each parameter.

    Raises:
        UsageError: a parameter of the base model, not of its head, has another shape than in the files.
    """
    mismatched = [name for name, *_ in loading_info["mismatched_keys"]]
    for name in mismatched:
        if name.startswith(f"{model.base_model_prefix}."):
            raise UsageError(f"{base.source}: {name} has another shape than its config says")
    new = {*loading_info["missing_keys"], *mismatched}
    for name, parameter in model.named_parameters():
        parameter.is_new = name in new


@contextmanager
def explain_attention_errors(base: BaseInfo) -> Iterator[None]:
    """Raise a UsageError that names the key where this model cannot use the attention implementation."""
    try:
        yield
    except (ValueError, ImportError) as error:
        message = str(error).lower()
        if base.attention is None or not ("attention" in message or "attn" in message):
            raise
        raise UsageError(
            f"model.attn_implementation={base.attention} cannot be used with {base.source}: {error}"
        ) from error


@contextmanager
def explain_weight_errors(source: str) -> Iterator[None]:
    """Raise a UsageError that names the base model where its weights are damaged or not safetensors."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        raise UsageError(f"base model {source}: its weights cannot be read: {error}") from error


def quantization_arguments(auto: Any, config: PretrainedConfig, options: LoadOptions) -> dict[str, Any]:
    """Return the arguments that quantize a model, except for the head and the layers that transformers skips by default.

    transformers skips its default layers only where no others are named. With only the head's modules named, it would
    quantize an output embedding that is tied to the input embedding.
    """
    if options.quantization is None:
        return {}
    import torch
    from transformers.quantizers.base import get_keys_to_not_convert

    quantization = copy.deepcopy(options.quantization)
    with torch.device("meta"):
        default = get_keys_to_not_convert(auto.from_config(config))
    skipped = quantization.llm_int8_skip_modules or []
    quantization.llm_int8_skip_modules = list(dict.fromkeys([*skipped, *default]))
    return {"quantization_config": quantization, "device_map": {"": options.device or "cpu"}}


def disable_cpu_repacking(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from repacking 4-bit weights at the first evaluation on a CPU with AVX-512 bfloat16.

    Repacked weights pass on no gradient, and bitsandbytes does not restore them when training continues.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def resize_embeddings(model: PreTrainedModel, tokens: int) -> None:
    """Add an embedding for each token that was added to the tokenizer.

    A new row is the mean of the present rows (Hewitt 2021, "Initializing new word embeddings for pretrained language
    models"). It is the same in every run, so that a strategy that does not train it need not save it.
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
