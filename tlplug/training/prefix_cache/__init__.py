"""What runs before anything that moves is computed once for each example, and lies memory-mapped in the cache."""
