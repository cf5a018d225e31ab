"""Read what a process knows of the others, where it is alone."""

from __future__ import annotations

from tlplug.runtime.distributed import from_first, gather, rank, world_size


def test_alone_a_process_is_the_whole_world():
    assert (rank(), world_size(), gather([1, 2]), from_first("x")) == (0, 1, [1, 2], "x")
