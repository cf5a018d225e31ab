"""Convert a GGUF file into a folder of safetensors.

transformers reads GGUF into float32, but cannot quantize, save or change the head of such a model. So the file is
converted once, into the cache, and the result is an ordinary base model.
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


def convert_gguf(file: Path) -> Path:
    """Return the cached folder with the file's model, in float32, and tokenizer; convert the file if there is none.

    Raises:
        UsageError: there is no such file, it cannot be read, or the package `gguf` is missing.
    """
    if not file.is_file():
        raise UsageError(f"base model {file}: there is no such file")
    folder = cache.cache_folder() / KIND / files.file_digest(file)
    if not folder.is_dir():
        if find_spec("gguf") is None:
            raise UsageError(f"base model {file}: reading it needs a package: pip install 'tlplug[gguf]'")
        log.info("converting %s into %s, once", file, folder)
        with files.atomic_cache_folder(folder) as temporary:
            save_as_safetensors(file, temporary)
    return folder


def save_as_safetensors(file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        # transformers shows a progress bar for every tensor and has no setting to hide it.
        with redirect_stderr(StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            loaded = AutoModelForCausalLM.from_pretrained(
                file.parent, gguf_file=file.name, dtype=torch.float32
            )
    except Exception as error:  # a damaged file can raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UsageError(f"base model {file} cannot be read as GGUF: {reason}") from error
    # transformers refuses to save a model read from GGUF. A new model of the same config can be saved, once the config
    # no longer says that the weights are quantized.
    del loaded.config.quantization_config
    model = AutoModelForCausalLM.from_config(loaded.config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
