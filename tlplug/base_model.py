"""Find and load a base model: hub id, local folder or `pkg://`. Only safetensors are ever read."""

from __future__ import annotations

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug.contracts import BaseInfo, LoadOptions, ModelSettings, UsageError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

PACKAGED = "pkg://"
WEIGHTS = "model.safetensors"
UNBOUNDED = 10**9
"""Tokenizers without a limit of their own report a huge number."""


def find_base(settings: ModelSettings, max_length: int | None = None) -> BaseInfo:
    """The base model's config, tokenizer and identity; its weights are not loaded.

    Raises:
        UsageError: the source is not there, is not a model, or is not the file that was expected.
    """
    path = locate(settings)
    config, tokenizer = read_config(settings, path)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    limit = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", None) or UNBOUNDED)
    if max_length is not None and max_length > limit:
        raise UsageError(f"data.max_length={max_length} is more than {settings.source} takes: {limit} tokens")
    if max_length is None and limit >= UNBOUNDED:
        raise UsageError(f"{settings.source} names no longest input: set data.max_length=...")
    return BaseInfo(
        source=settings.source,
        path=path,
        revision=settings.revision,
        fingerprint=fingerprint(settings, path, config),
        config=config,
        tokenizer=tokenizer,
        max_length=max_length or limit,
        attention=settings.attention,
        trust_remote_code=settings.trust_remote_code,
    )


def locate(settings: ModelSettings) -> str:
    """A local folder, or the hub id as it is."""
    source = settings.source
    if source.startswith(PACKAGED):
        return str(checked(packaged(settings), settings))
    if Path(source).expanduser().is_dir():
        return str(checked(Path(source).expanduser(), settings))
    if looks_local(source):
        raise UsageError(f"base model {source!r} (model.source): there is no such folder")
    return source


def looks_local(source: str) -> bool:
    return source.startswith((".", "/", "~")) or source.count("/") > 1


def packaged(settings: ModelSettings) -> Path:
    package, _, inside = settings.source.removeprefix(PACKAGED).partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        how = settings.install or f"install the package that holds {package!r}"
        raise UsageError(
            f"base model {settings.source!r} is not installed: {how}, "
            "or set model.source=<hub id or local folder>"
        )
    return Path(spec.submodule_search_locations[0]) / inside


def checked(folder: Path, settings: ModelSettings) -> Path:
    """The folder, known to hold a config and safetensors, the expected ones where a digest is given."""
    if not (folder / "config.json").is_file():
        raise UsageError(f"base model {settings.source!r}: {folder} holds no config.json")
    if not any(folder.glob("*.safetensors")):
        raise UsageError(
            f"base model {settings.source!r}: {folder} holds no .safetensors; nothing else is loaded"
        )
    if settings.sha256 is not None and (found := digest(folder / WEIGHTS)) != settings.sha256:
        raise UsageError(
            f"base model {settings.source!r}: {folder / WEIGHTS} has SHA-256 {found}, "
            f"expected {settings.sha256} (model.sha256); for another base model: model=custom"
        )
    return folder


def digest(path: Path) -> str:
    if not path.is_file():
        raise UsageError(f"{path} is not there, but model.sha256 is set")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def load_pretrained(auto: Any, base: BaseInfo, options: LoadOptions, **changes: Any) -> PreTrainedModel:
    """The base model through a transformers Auto class, in training mode, in float32 where it is not quantized.

    Args:
        auto: the Auto class, which decides the head.
        changes: values for the model's config, such as `num_labels`.
    """
    import copy

    config = copy.deepcopy(base.config)
    config.update({"pad_token_id": base.tokenizer.pad_token_id, **changes})
    common: dict[str, Any] = {"trust_remote_code": base.trust_remote_code, "dtype": "float32"}
    if base.attention is not None:
        common["attn_implementation"] = base.attention
    if options.random_weights:
        return auto.from_config(config, **common).train()
    if options.quantization is not None:
        common |= {"quantization_config": options.quantization, "device_map": {"": options.device or "cpu"}}
    model = auto.from_pretrained(
        base.path, config=config, revision=base.revision, use_safetensors=True, **common
    )
    # from_pretrained leaves eval mode on, and Lightning keeps it: dropout would silently be off.
    return model.train()
