"""What a finished run is used for: predict, evaluate, export."""

from tlplug.inference.adapted import Adapted, load

__all__ = ["Adapted", "load"]
