"""Command lines and data files that nobody would write, by hypothesis, always the same ones."""
