"""Kill, stop and damage runs, resume them, and compare their results with those of undisturbed runs."""
