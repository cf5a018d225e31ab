"""Measure tlplug beside transformers' Trainer and peft: `python -m bench`."""
