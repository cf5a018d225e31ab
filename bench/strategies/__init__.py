"""Measure the strategies on the same rows."""
