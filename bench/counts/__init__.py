"""Count what runs compute, in numbers that no machine changes."""
