"""What one process of several knows of the others. With a single process everything here is the identity."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

log = logging.getLogger(__name__)


def in_group() -> bool:
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process's number; 0 before the processes have met. Which one begins a run, `launch.follows` knows."""
    import torch.distributed as dist

    return dist.get_rank() if in_group() else 0


def world_size() -> int:
    import torch.distributed as dist

    return dist.get_world_size() if in_group() else 1


def gather(items: list[T]) -> list[T]:
    """The items of all processes, in the order of ranks, on every process."""
    import torch.distributed as dist

    if not in_group():
        return items
    parts: list[list[T]] = [[] for _ in range(world_size())]
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def total(number: float, device: torch.device) -> torch.Tensor:
    """The sum of a number over all processes, without waiting for a device to tell it."""
    import torch
    import torch.distributed as dist

    found = torch.tensor(float(number), device=device)
    if in_group():
        dist.all_reduce(found)
    return found


def from_first(value: T) -> T:
    """Rank 0's value, on every process: what one process decides and the others follow."""
    import torch.distributed as dist

    if not in_group():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def barrier() -> None:
    """Wait until all processes are here."""
    import torch.distributed as dist

    if in_group():
        dist.barrier()
