"""Hydra configs: the groups that a user chooses from, and the corpora that ship with the project."""
