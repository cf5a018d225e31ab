"""A GGUF file as a folder that everything else can load.

transformers reads GGUF into float32, but quantizes, saves and changes the head of a model only where it came from
safetensors. So the file is unpacked once, into the cache, and is an ordinary base model from there on.
"""

from __future__ import annotations

import logging
from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from tlplug.errors import UsageError
from tlplug.runtime import cache, files

SUFFIX = ".gguf"
KIND = "gguf"

log = logging.getLogger(__name__)


def unpacked(file: Path) -> Path:
    """The folder of the file's model and tokenizer, in float32; made where the cache has none.

    Raises:
        UsageError: there is no such file, it cannot be read, or the package `gguf` is missing.
    """
    if not file.is_file():
        raise UsageError(f"base model {file}: there is no such file")
    folder = cache.cache_folder() / KIND / files.file_digest(file)
    if not folder.is_dir():
        if find_spec("gguf") is None:
            raise UsageError(f"base model {file}: reading it needs a package: pip install 'tlplug[gguf]'")
        log.info("unpacking %s into %s, once", file, folder)
        with files.whole_folder(folder) as beside:
            save(file, beside)
    return folder


def save(file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        # transformers shows a progress bar of every tensor, and has no switch for it.
        with redirect_stderr(StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    except Exception as error:  # a damaged file fails in as many ways as it has bytes
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UsageError(f"base model {file} cannot be read as GGUF: {reason}") from error
    # A model that was read from GGUF does not let itself be saved; one of the same config does, once that no longer
    # says that the weights are quantized.
    del read.config.quantization_config
    model = AutoModelForCausalLM.from_config(read.config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.generation_config = read.generation_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
