"""What a finished run is used for: predict, evaluate, export."""

from tlplug.inference.adapted import Adapted
from tlplug.inference.open_run import load

__all__ = ["Adapted", "load"]
