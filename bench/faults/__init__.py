"""Kill, stop, starve and damage runs, and see whether anything is lost."""
