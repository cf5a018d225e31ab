"""Locate the files of a base model, and check its weights' files."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from tlplug.errors import UsageError
from tlplug.models.gguf import SUFFIX, unpacked
from tlplug.runtime.files import file_digest, refuse_address
from tlplug.settings import ModelSettings

WEIGHTS = "model.safetensors"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""How the names of files end that run code when they are read, if whoever made them wants that."""


def expect_sound(path: Path, named: str) -> None:
    """A folder's weights can be loaded, and nothing but them is.

    Args:
        named: what the user calls it.

    Raises:
        UsageError: there are none, they are pickles, an index names others, or one is damaged.
    """
    if not any(path.glob("*.safetensors")):
        raise UsageError(f"{named}: {path} holds no .safetensors{pickled(path)}")
    expect_safetensors(path)
    expect_whole(path)


def pickled(path: Path) -> str:
    """What is said of weights that are there in a format that can run code."""
    found = [file.name for file in sorted(path.iterdir()) if file.suffix in PICKLES]
    if not found:
        return "; nothing else is loaded"
    return (
        f", only {found[0]}: a pickle, which can run code when it is read. If you trust where it is from, convert it: "
        "load it with transformers, and call save_pretrained, which writes safetensors"
    )


def expect_safetensors(path: Path) -> None:
    """An index of several files can name any file; those that it names are safetensors beside it.

    Raises:
        UsageError: it names another.
    """
    index = path / f"{WEIGHTS}.index.json"
    if not index.is_file():
        return
    try:
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{index} cannot be read: {error}") from error
    for name in sorted(map(str, named)):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise UsageError(f"{index} names {name}, which is no .safetensors beside it")


def expect_whole(path: Path) -> None:
    """The headers of the weights can be read, and the files are as long as they say; no tensor is loaded yet.

    Raises:
        UsageError: one is damaged.
    """
    from safetensors import SafetensorError, safe_open

    for file in sorted(path.glob("*.safetensors")):
        try:
            with safe_open(file, "numpy"):
                pass
        except (OSError, SafetensorError) as error:
            raise UsageError(f"{file} is damaged: {error}") from error


PACKAGED = "pkg://"


def locate(settings: ModelSettings) -> str:
    """A local folder that transformers can load, or the hub id as it is.

    Raises:
        UsageError: nothing is there, or it is not the file that was expected.
    """
    source = settings.source
    refuse_address("model.source", source)
    if source.startswith(PACKAGED):
        return str(checked(packaged(settings), settings))
    path = Path(source).expanduser()
    if path.is_dir() or path.is_file():
        return str(checked(path, settings))
    if source.startswith((".", "/", "~")) or source.count("/") > 1 or source.lower().endswith(SUFFIX):
        raise UsageError(f"base model {source!r} (model.source): there is no such folder or file")
    return source


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


def checked(path: Path, settings: ModelSettings) -> Path:
    """A folder known to hold a config and safetensors, the expected ones where a digest is given."""
    if path.suffix.lower() == SUFFIX:
        expect_digest(path, settings)
        return unpacked(path)
    if path.is_file():
        raise UsageError(
            f"base model {settings.source!r}: {path} is a file; a base model is a folder or a {SUFFIX} file"
        )
    if not (path / "config.json").is_file():
        raise UsageError(f"base model {settings.source!r}: {path} holds no config.json")
    expect_sound(path, f"base model {settings.source!r}")
    expect_digest(path / WEIGHTS, settings)
    return path


def expect_digest(file: Path, settings: ModelSettings) -> None:
    if settings.sha256 is not None and (found := digest(file)) != settings.sha256:
        raise UsageError(
            f"base model {settings.source!r}: {file} has SHA-256 {found}, "
            f"expected {settings.sha256} (model.sha256); for another base model: model=custom"
        )


def digest(path: Path) -> str:
    if not path.is_file():
        raise UsageError(f"{path} is not there, but model.sha256 is set")
    return file_digest(path)
