"""Find and load a base model: hub id, local folder, GGUF file or `pkg://`. Only safetensors and GGUF are ever read."""

from tlplug.base_model.find import find_base
from tlplug.base_model.load import has_model, load_pretrained
from tlplug.base_model.locate import locate
from tlplug.base_model.sample import sampled_digest

__all__ = ["find_base", "has_model", "load_pretrained", "locate", "sampled_digest"]
