"""Hold the ranking of `tlplug rank` against fine-tuned models."""
