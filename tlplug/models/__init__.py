"""Find and load a base model: hub id, local folder, GGUF file or `pkg://`. Only safetensors and GGUF are ever read."""
