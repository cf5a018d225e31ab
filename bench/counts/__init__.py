"""Count what runs compute, in numbers that are the same on every machine."""
