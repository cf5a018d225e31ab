"""Find a base model: config, tokenizer and fingerprint, without its weights."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tlplug.errors import UsageError
from tlplug.interfaces import BaseInfo
from tlplug.models.locate import locate
from tlplug.settings import ModelSettings

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

UNBOUNDED = 10**9
"""Tokenizers without a limit of their own report a huge number."""
DTYPES = ("auto", "float32", "bfloat16", "float16")


def find_base(settings: ModelSettings, max_length: int | None = None) -> BaseInfo:
    """Find the base model; its weights are not loaded.

    Raises:
        UsageError: the source is not there, is not a model, or is not the file that was expected.
    """
    if settings.dtype not in DTYPES:
        raise UsageError(f"model.dtype={settings.dtype}: it is one of {', '.join(DTYPES)}")
    path = locate(settings)
    config, tokenizer = read_config(settings, path)
    give_pad_token(tokenizer, settings)
    limit = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", None) or UNBOUNDED)
    if max_length is not None and max_length > limit:
        raise UsageError(f"data.max_length={max_length} is more than {settings.source} takes: {limit} tokens")
    if max_length is None and limit >= UNBOUNDED:
        raise UsageError(f"{settings.source} names no longest input: set data.max_length=...")
    dtype = settled_dtype(settings.dtype, config)
    return BaseInfo(
        source=settings.source,
        path=path,
        revision=settings.revision,
        fingerprint=fingerprint(settings, path, config),
        config=config,
        processor=tokenizer,
        max_length=max_length or limit,
        attention=settled_attention(settings.attn_implementation, dtype),
        trust_remote_code=settings.trust_remote_code,
        dtype=dtype,
        gradient_checkpointing=settings.gradient_checkpointing,
        fast_dropout=settings.fast_dropout,
        compile=settings.compile,
    )


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


def read_config(settings: ModelSettings, path: str) -> tuple[PretrainedConfig, PreTrainedTokenizerBase]:
    from transformers import AutoConfig, AutoTokenizer

    options = {"revision": settings.revision, "trust_remote_code": settings.trust_remote_code}
    try:
        return AutoConfig.from_pretrained(path, **options), AutoTokenizer.from_pretrained(path, **options)
    except (OSError, ValueError) as error:
        raise UsageError(unloadable(settings, path, str(error).strip())) from error


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
