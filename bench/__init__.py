"""Measurements of tlplug beside transformers' Trainer and peft; `python -m bench` takes them."""
