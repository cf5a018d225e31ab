"""Shared code of the heads for generation; imported where it is used."""
