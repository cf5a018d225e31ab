"""Measure how well `tlplug rank` orders base models."""
