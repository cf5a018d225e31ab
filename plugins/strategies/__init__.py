"""Adaptation strategies."""
