"""Measure how time and memory grow."""
