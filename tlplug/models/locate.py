"""Locate the files of a base model and check them."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from tlplug.errors import UsageError
from tlplug.models.gguf import SUFFIX, convert_gguf
from tlplug.runtime.files import file_digest, refuse_address
from tlplug.settings import ModelSettings

WEIGHTS = "model.safetensors"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Suffixes of pickled weights, which can run code when they are loaded."""


def check_weight_files(path: Path, description: str) -> None:
    """Check that a folder's weights are whole safetensors files, and that no other file is loaded.

    Args:
        description: the folder's name in messages.

    Raises:
        UsageError: there are no weights, they are pickles, an index names other files, or a file is damaged.
    """
    if not any(path.glob("*.safetensors")):
        raise UsageError(f"{description}: {path} holds no .safetensors{describe_pickles(path)}")
    check_weight_index(path)
    check_weight_headers(path)


def describe_pickles(path: Path) -> str:
    """Return the end of the message about missing safetensors: which pickle there is, and how to convert it."""
    pickles = [file.name for file in sorted(path.iterdir()) if file.suffix in PICKLES]
    if not pickles:
        return "; nothing else is loaded"
    return (
        f", only {pickles[0]}: a pickle, which can run code when it is read. If you trust where it is from, convert it: "
        "load it with transformers, and call save_pretrained, which writes safetensors"
    )


def check_weight_index(path: Path) -> None:
    """Check that the index of weights in several files names only safetensors files in the same folder.

    Raises:
        UsageError: it names another file.
    """
    index = path / f"{WEIGHTS}.index.json"
    if not index.is_file():
        return
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{index} cannot be read: {error}") from error
    for name in sorted(map(str, names)):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise UsageError(f"{index} names {name}, which is no .safetensors beside it")


def check_weight_headers(path: Path) -> None:
    """Check that each file of weights has a readable header and the length it states, without loading tensors.

    Raises:
        UsageError: a file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    for file in sorted(path.glob("*.safetensors")):
        try:
            with safe_open(file, "numpy"):
                pass
        except (OSError, SafetensorError) as error:
            raise UsageError(f"{file} is damaged: {error}") from error


PACKAGE_PREFIX = "pkg://"


def locate(settings: ModelSettings) -> str:
    """Return the path of a local folder that transformers can load, or the hub id unchanged.

    Raises:
        UsageError: there is no such folder or file, it is damaged, or it has another digest than expected.
    """
    source = settings.source
    refuse_address("model.source", source)
    if source.startswith(PACKAGE_PREFIX):
        return str(check_model_files(find_in_package(settings), settings))
    path = Path(source).expanduser()
    if path.is_dir() or path.is_file():
        return str(check_model_files(path, settings))
    if source.startswith((".", "/", "~")) or source.count("/") > 1 or source.lower().endswith(SUFFIX):
        raise UsageError(f"base model {source!r} (model.source): there is no such folder or file")
    return source


def find_in_package(settings: ModelSettings) -> Path:
    package, _, inside = settings.source.removeprefix(PACKAGE_PREFIX).partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        instruction = settings.install or f"install the package that holds {package!r}"
        raise UsageError(
            f"base model {settings.source!r} is not installed: {instruction}, "
            "or set model.source=<hub id or local folder>"
        )
    return Path(spec.submodule_search_locations[0]) / inside


def check_model_files(path: Path, settings: ModelSettings) -> Path:
    """Return the model's folder after checking its config, weights and digest; a GGUF file is converted first."""
    if path.suffix.lower() == SUFFIX:
        check_digest(path, settings)
        return convert_gguf(path)
    if path.is_file():
        raise UsageError(
            f"base model {settings.source!r}: {path} is a file; a base model is a folder or a {SUFFIX} file"
        )
    if not (path / "config.json").is_file():
        raise UsageError(f"base model {settings.source!r}: {path} holds no config.json")
    check_weight_files(path, f"base model {settings.source!r}")
    check_digest(path / WEIGHTS, settings)
    return path


def check_digest(file: Path, settings: ModelSettings) -> None:
    if settings.sha256 is None:
        return
    if not file.is_file():
        raise UsageError(f"{file} is not there, but model.sha256 is set")
    digest = file_digest(file)
    if digest != settings.sha256:
        raise UsageError(
            f"base model {settings.source!r}: {file} has SHA-256 {digest}, "
            f"expected {settings.sha256} (model.sha256); for another base model: model=custom"
        )
