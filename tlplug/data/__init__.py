"""Rows -> features -> batches.

`read_splits` finds and reads the rows, `check_rows` tells what is wrong with them. The batches are in
`tlplug.data.module`, which is not imported here because it needs torch.
"""
