"""Exchange values between the processes of a distributed run; in a single process each function is the identity."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

log = logging.getLogger(__name__)


def is_distributed() -> bool:
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Return this process's rank; 0 before the process group is initialized."""
    import torch.distributed as dist

    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    import torch.distributed as dist

    return dist.get_world_size() if is_distributed() else 1


def gather(items: list[T]) -> list[T]:
    """Return the items of all processes, in the order of ranks, on every process."""
    import torch.distributed as dist

    if not is_distributed():
        return items
    parts: list[list[T]] = [[] for _ in range(world_size())]
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def all_reduce_sum(number: float, device: torch.device) -> torch.Tensor:
    """Return the sum of a number over all processes as a tensor on the device, without synchronizing the device."""
    import torch
    import torch.distributed as dist

    result = torch.tensor(float(number), device=device)
    if is_distributed():
        dist.all_reduce(result)
    return result


def broadcast(value: T) -> T:
    """Return rank 0's value on every process."""
    import torch.distributed as dist

    if not is_distributed():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def barrier() -> None:
    """Wait until all processes reach this call."""
    import torch.distributed as dist

    if is_distributed():
        dist.barrier()
