"""Rows -> features -> batches.

`tlplug.data.read` finds and reads the rows, `tlplug.data.split` tells what is wrong with them. The batches are in
`tlplug.data.datamodule`, which needs torch.
"""
