"""Measure tlplug beside transformers' Trainer and a loop written by hand."""
