"""Rank base models for a task before any of them is fine-tuned."""
