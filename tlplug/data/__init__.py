"""Rows -> features -> batches.

`read_splits` finds and reads the rows, `check_rows` tells what is wrong with them. The batches are in
`tlplug.data.module`, which is not imported here because it needs torch.
"""

from tlplug.data.check import check_rows
from tlplug.data.source import read_splits
from tlplug.data.split import Split

__all__ = ["Split", "check_rows", "read_splits"]
