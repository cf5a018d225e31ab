"""Files of weights: safetensors alone, whole, and beside each other."""

from __future__ import annotations

import json
from pathlib import Path

from tlplug.errors import UsageError

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
