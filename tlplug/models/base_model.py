"""Find a base model: config, processor and fingerprint, without its weights."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug.errors import UsageError
from tlplug.interfaces import BaseInfo
from tlplug.models.locate import locate
from tlplug.settings import ModelSettings

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

UNBOUNDED = 10**9
"""Tokenizers without a limit of their own report a huge number."""
DTYPES = ("auto", "float32", "bfloat16", "float16")
PREPROCESSOR = "preprocessor_config.json"
"""The file of an image processor or a feature extractor."""
TOKENIZER_FILES = (
    "tokenizer_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
)
"""A tokenizer has at least one of these files."""


def find_base(settings: ModelSettings, max_length: int | None = None) -> BaseInfo:
    """Find the base model without loading its weights.

    Raises:
        UsageError: the source does not exist, is not a model, or has another digest than expected.
    """
    if settings.dtype not in DTYPES:
        raise UsageError(f"model.dtype={settings.dtype}: it is one of {', '.join(DTYPES)}")
    path = locate(settings)
    config = read_config(settings, path)
    processor = read_processor(settings, path, config)
    dtype = resolve_dtype(settings.dtype, config)
    return BaseInfo(
        source=settings.source,
        path=path,
        revision=settings.revision,
        fingerprint=fingerprint(settings, path, config),
        config=config,
        processor=processor,
        max_length=resolve_max_length(settings, config, processor, max_length),
        attention=resolve_attention(settings.attn_implementation, dtype),
        trust_remote_code=settings.trust_remote_code,
        dtype=dtype,
        gradient_checkpointing=settings.gradient_checkpointing,
        fast_dropout=settings.fast_dropout,
        compile=settings.compile,
    )


def resolve_max_length(
    settings: ModelSettings, config: PretrainedConfig, processor: Any, requested: int | None
) -> int | None:
    """Return the number of tokens that an input is truncated to; None for a base model without a tokenizer.

    Raises:
        UsageError: the requested length is more than the model takes, or the model's limit is unknown.
    """
    if not is_tokenizer(processor):
        if requested is not None:
            raise UsageError(
                f"data.max_length={requested} cuts texts, and {settings.source} has no tokenizer"
            )
        return None
    set_pad_token(processor, settings)
    limit: int = min(
        processor.model_max_length, getattr(config, "max_position_embeddings", None) or UNBOUNDED
    )
    if requested is not None and requested > limit:
        raise UsageError(f"data.max_length={requested} is more than {settings.source} takes: {limit} tokens")
    if requested is None and limit >= UNBOUNDED:
        raise UsageError(f"{settings.source} names no longest input: set data.max_length=...")
    return requested or limit


def set_pad_token(tokenizer: PreTrainedTokenizerBase, settings: ModelSettings) -> None:
    """Give a tokenizer without a pad token its end or unknown token; masks mark padding, whatever the token is.

    Raises:
        UsageError: the tokenizer has none of them.
    """
    if tokenizer.pad_token_id is not None:
        return
    pad_token = tokenizer.eos_token or tokenizer.unk_token
    if pad_token is None:
        raise UsageError(f"{settings.source}: its tokenizer has no pad, end or unknown token to pad with")
    tokenizer.pad_token = pad_token


def resolve_dtype(dtype: str, config: PretrainedConfig) -> str:
    """Resolve `auto`: on a GPU with bfloat16 the format that the weights were published in, else float32."""
    import torch

    if dtype != "auto":
        return dtype
    published = str(getattr(config, "dtype", None) or torch.float32).removeprefix("torch.")
    half = torch.cuda.is_available() and torch.cuda.is_bf16_supported() and published in DTYPES
    return published if half else "float32"


def resolve_attention(implementation: str | None, dtype: str) -> str | None:
    """Resolve `auto`: flash attention where it is installed and usable, else None, transformers' own choice."""
    import torch
    from transformers.utils import is_flash_attn_2_available

    if implementation != "auto":
        return implementation
    half = torch.cuda.is_available() and dtype in ("bfloat16", "float16")
    return "flash_attention_2" if half and is_flash_attn_2_available() else None


def read_config(settings: ModelSettings, path: str) -> PretrainedConfig:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(path, **hub_arguments(settings))
    except (OSError, ValueError) as error:
        raise UsageError(explain_load_error(settings, path, str(error).strip())) from error


def hub_arguments(settings: ModelSettings) -> dict[str, Any]:
    return {"revision": settings.revision, "trust_remote_code": settings.trust_remote_code}


def read_processor(settings: ModelSettings, path: str, config: PretrainedConfig) -> Any:
    """Return the tokenizer; without one the image processor or feature extractor; without either None.

    Raises:
        UsageError: the files of a processor exist, but it cannot be loaded.
    """
    from transformers import TOKENIZER_MAPPING, AutoTokenizer

    reads_text = type(config) in TOKENIZER_MAPPING
    if not reads_text and not any(has_file(settings, path, name) for name in TOKENIZER_FILES):
        return read_other_processor(settings, path) if has_file(settings, path, PREPROCESSOR) else None
    try:
        return AutoTokenizer.from_pretrained(path, **hub_arguments(settings))
    except (OSError, ValueError) as error:
        if reads_text and has_file(settings, path, PREPROCESSOR):
            return read_other_processor(settings, path)
        raise UsageError(explain_load_error(settings, path, str(error).strip())) from error


def has_file(settings: ModelSettings, path: str, name: str) -> bool:
    """Return whether the folder, or the model on the hub, has a file of this name."""
    from transformers.utils import cached_file

    file = cached_file(
        path,
        name,
        revision=settings.revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    return file is not None


def read_other_processor(settings: ModelSettings, path: str) -> Any:
    """Return the image processor or feature extractor.

    Raises:
        UsageError: it cannot be loaded, for example because torchvision is not installed.
    """
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(path, **hub_arguments(settings))
    except (ImportError, OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"the processor of base model {settings.source!r}, {PREPROCESSOR}, cannot be loaded: {reason}"
        ) from error


def is_tokenizer(processor: Any) -> bool:
    return hasattr(processor, "convert_ids_to_tokens")


def save_processor(base: BaseInfo, folder: Path) -> None:
    """Write the base model's processor, if it has one, into the folder of a trained model."""
    if base.processor is not None:
        base.processor.save_pretrained(folder)


def explain_load_error(settings: ModelSettings, path: str, reason: str) -> str:
    """Return the message for a base model that transformers cannot load, with what to do about it."""
    if "trust_remote_code" in reason:
        return (
            f"base model {settings.source!r} brings Python code of its own, which is not run. "
            "If you trust its author: model.trust_remote_code=true"
        )
    message = f"base model {settings.source!r} cannot be loaded: {reason.splitlines()[0]}"
    if Path(path).is_dir():
        return message
    if os.environ.get("HF_HUB_OFFLINE"):
        message += " HF_HUB_OFFLINE is set: only models in the cache are found."
    return f"{message} Set model.source to a hub id that can be reached or to a local folder."


def fingerprint(settings: ModelSettings, path: str, config: PretrainedConfig) -> str:
    """Return a text that changes with the weights, without reading them: a digest, a commit, or sizes and times."""
    folder = Path(path)
    if folder.is_dir() and settings.sha256 is not None:
        return settings.sha256
    if not folder.is_dir():
        return f"{path}@{getattr(config, '_commit_hash', None) or settings.revision}"
    stats = [
        (file.name, file.stat().st_size, file.stat().st_mtime_ns)
        for file in sorted(folder.glob("*.safetensors"))
    ]
    return hashlib.sha256(repr((config.to_json_string(), stats)).encode()).hexdigest()


CHUNK, CHUNKS = 16_384, 256


def sampled_digest(base: BaseInfo) -> str:
    """Return a SHA-256 of the config and of chunks spread over the weights; for a hub id, of the config and commit.

    Two models that were trained separately differ in nearly every byte. A change of single weights by hand can go
    unnoticed.
    """
    digest = hashlib.sha256(base.config.to_json_string().encode())
    folder = Path(base.path)
    if not folder.is_dir():
        digest.update(base.fingerprint.encode())
    for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
        digest.update(f"{path.name} {path.stat().st_size}".encode())
        for chunk in read_chunks(path):
            digest.update(chunk)
    return digest.hexdigest()


def read_chunks(path: Path) -> list[bytes]:
    """Read chunks at even distances from a file, from its start on; the whole of a small file."""
    size = path.stat().st_size
    if size <= CHUNK * CHUNKS:
        return [path.read_bytes()]
    with path.open("rb") as file:
        chunks = []
        for number in range(CHUNKS):
            file.seek(number * (size - CHUNK) // (CHUNKS - 1))
            chunks.append(file.read(CHUNK))
        return chunks
