"""Read what a process knows of the others, where it is alone."""

from __future__ import annotations

from tlplug.runtime.distributed import broadcast, gather, rank, world_size


def test_alone_a_process_is_the_whole_world():
    assert (rank(), world_size(), gather([1, 2]), broadcast("x")) == (0, 1, [1, 2], "x")
