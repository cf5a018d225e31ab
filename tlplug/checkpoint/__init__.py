"""What a training that is cut off goes on from, bit for bit."""

from tlplug.checkpoint.files import FOLDER, WholeFiles, newest
from tlplug.checkpoint.keeper import Checkpoints

__all__ = ["FOLDER", "Checkpoints", "WholeFiles", "newest"]
