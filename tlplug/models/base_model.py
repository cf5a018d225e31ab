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
    *("tokenizer_config.json", "tokenizer.json", "tokenizer.model"),
    *("vocab.json", "vocab.txt", "spiece.model"),
)
"""Of which a tokenizer has one at least."""


def find_base(settings: ModelSettings, max_length: int | None = None) -> BaseInfo:
    """Find the base model; its weights are not loaded.

    Raises:
        UsageError: the source is not there, is not a model, or is not the file that was expected.
    """
    if settings.dtype not in DTYPES:
        raise UsageError(f"model.dtype={settings.dtype}: it is one of {', '.join(DTYPES)}")
    path = locate(settings)
    config = read_config(settings, path)
    processor = read_processor(settings, path, config)
    dtype = settled_dtype(settings.dtype, config)
    return BaseInfo(
        source=settings.source,
        path=path,
        revision=settings.revision,
        fingerprint=fingerprint(settings, path, config),
        config=config,
        processor=processor,
        max_length=longest_input(settings, config, processor, max_length),
        attention=settled_attention(settings.attn_implementation, dtype),
        trust_remote_code=settings.trust_remote_code,
        dtype=dtype,
        gradient_checkpointing=settings.gradient_checkpointing,
        fast_dropout=settings.fast_dropout,
        compile=settings.compile,
    )


def longest_input(
    settings: ModelSettings, config: PretrainedConfig, processor: Any, asked: int | None
) -> int | None:
    """Return at how many tokens an input is cut; None where the base model reads no texts.

    Raises:
        UsageError: what was asked for is more than the model takes, or nothing says how much it takes.
    """
    if not is_tokenizer(processor):
        if asked is not None:
            raise UsageError(f"data.max_length={asked} cuts texts, and {settings.source} has no tokenizer")
        return None
    give_pad_token(processor, settings)
    limit: int = min(
        processor.model_max_length, getattr(config, "max_position_embeddings", None) or UNBOUNDED
    )
    if asked is not None and asked > limit:
        raise UsageError(f"data.max_length={asked} is more than {settings.source} takes: {limit} tokens")
    if asked is None and limit >= UNBOUNDED:
        raise UsageError(f"{settings.source} names no longest input: set data.max_length=...")
    return asked or limit


def give_pad_token(tokenizer: PreTrainedTokenizerBase, settings: ModelSettings) -> None:
    """Where a tokenizer has none, padding is by its end token: masks tell real tokens, never the token itself."""
    if tokenizer.pad_token_id is not None:
        return
    other = tokenizer.eos_token or tokenizer.unk_token
    if other is None:
        raise UsageError(f"{settings.source}: its tokenizer has no pad, end or unknown token to pad with")
    tokenizer.pad_token = other


def settled_dtype(asked: str, config: PretrainedConfig) -> str:
    """`auto` is the format that the weights were published in on a GPU, where 16 bits are faster, else float32."""
    import torch

    if asked != "auto":
        return asked
    published = str(getattr(config, "dtype", None) or torch.float32).removeprefix("torch.")
    half = torch.cuda.is_available() and torch.cuda.is_bf16_supported() and published in DTYPES
    return published if half else "float32"


def settled_attention(asked: str | None, dtype: str) -> str | None:
    """`auto` is flash attention where it is installed and can be used; None is transformers' own choice."""
    import torch
    from transformers.utils import is_flash_attn_2_available

    if asked != "auto":
        return asked
    half = torch.cuda.is_available() and dtype in ("bfloat16", "float16")
    return "flash_attention_2" if half and is_flash_attn_2_available() else None


def read_config(settings: ModelSettings, path: str) -> PretrainedConfig:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(path, **origin(settings))
    except (OSError, ValueError) as error:
        raise UsageError(unloadable(settings, path, str(error).strip())) from error


def origin(settings: ModelSettings) -> dict[str, Any]:
    return {"revision": settings.revision, "trust_remote_code": settings.trust_remote_code}


def read_processor(settings: ModelSettings, path: str, config: PretrainedConfig) -> Any:
    """Return the tokenizer, or where the base model has none its other processor, or None.

    Raises:
        UsageError: there are files of one, and it cannot be made.
    """
    from transformers import TOKENIZER_MAPPING, AutoTokenizer

    usual = type(config) in TOKENIZER_MAPPING
    if not usual and not any(has_file(settings, path, name) for name in TOKENIZER_FILES):
        return other_processor(settings, path) if has_file(settings, path, PREPROCESSOR) else None
    try:
        return AutoTokenizer.from_pretrained(path, **origin(settings))
    except (OSError, ValueError) as error:
        if usual and has_file(settings, path, PREPROCESSOR):
            return other_processor(settings, path)
        raise UsageError(unloadable(settings, path, str(error).strip())) from error


def has_file(settings: ModelSettings, path: str, name: str) -> bool:
    """Return whether the folder, or the model on the hub, has a file of this name."""
    from transformers.utils import cached_file

    found = cached_file(
        path,
        name,
        revision=settings.revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    return found is not None


def other_processor(settings: ModelSettings, path: str) -> Any:
    """Return the image processor or feature extractor.

    Raises:
        UsageError: it cannot be made, for want of a package such as torchvision, say.
    """
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(path, **origin(settings))
    except (ImportError, OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"the processor of base model {settings.source!r}, {PREPROCESSOR}, cannot be loaded: {reason}"
        ) from error


def is_tokenizer(processor: Any) -> bool:
    return hasattr(processor, "convert_ids_to_tokens")


def save_processor(base: BaseInfo, folder: Path) -> None:
    """Write the base model's processor, where it has one, beside a model that was trained with it."""
    if base.processor is not None:
        base.processor.save_pretrained(folder)


def unloadable(settings: ModelSettings, path: str, reason: str) -> str:
    """Why transformers could not read the base model, and what to do."""
    if "trust_remote_code" in reason:
        return (
            f"base model {settings.source!r} brings Python code of its own, which is not run. "
            "If you trust its author: model.trust_remote_code=true"
        )
    told = f"base model {settings.source!r} cannot be loaded: {reason.splitlines()[0]}"
    if Path(path).is_dir():
        return told
    if os.environ.get("HF_HUB_OFFLINE"):
        told += " HF_HUB_OFFLINE is set: only models in the cache are found."
    return f"{told} Set model.source to a hub id that can be reached or to a local folder."


def fingerprint(settings: ModelSettings, path: str, config: PretrainedConfig) -> str:
    """Changes when the weights do, without reading gigabytes: a digest, a commit, or sizes and times."""
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
    """SHA-256 of the config and of chunks from all over the weights; of a hub id, of its commit.

    Two models that were trained apart differ in nearly every byte. Who changes single weights by hand is not found out.
    """
    found = hashlib.sha256(base.config.to_json_string().encode())
    folder = Path(base.path)
    if not folder.is_dir():
        found.update(base.fingerprint.encode())
    for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
        found.update(f"{path.name} {path.stat().st_size}".encode())
        for chunk in chunks(path):
            found.update(chunk)
    return found.hexdigest()


def chunks(path: Path) -> list[bytes]:
    """Evenly spread over a file, its beginning among them; all of one that is small."""
    size = path.stat().st_size
    if size <= CHUNK * CHUNKS:
        return [path.read_bytes()]
    with path.open("rb") as file:
        read = []
        for number in range(CHUNKS):
            file.seek(number * (size - CHUNK) // (CHUNKS - 1))
            read.append(file.read(CHUNK))
        return read
