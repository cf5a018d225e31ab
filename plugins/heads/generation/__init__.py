"""What the heads for generation share; imported where it is used."""
