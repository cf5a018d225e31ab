"""Torch modules of strategies; imported where they are used."""
