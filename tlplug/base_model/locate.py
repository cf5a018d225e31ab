"""Where a base model's files are."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tlplug.base_model.gguf import SUFFIX, unpacked
from tlplug.base_model.weights import WEIGHTS, expect_sound
from tlplug.cache import file_digest
from tlplug.contracts.local import refuse_address
from tlplug.errors import UsageError
from tlplug.settings import ModelSettings

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
