"""Tensors that are needed again much later."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Aside(Mapping[str, "torch.Tensor"]):
    """Copies in a temporary file, which is gone with the process; each is read when it is asked for.

    In memory they would stand beside a training, which may need all of it.
    """

    def __init__(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        import torch

        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as this)
        self._places: dict[str, tuple[int, torch.dtype, torch.Size]] = {}
        for name, value in tensors:
            plain = value.detach().cpu().contiguous()
            self._places[name] = self._file.tell(), plain.dtype, plain.shape
            self._file.write(plain.flatten().view(torch.uint8).numpy().data)

    def __getitem__(self, name: str) -> torch.Tensor:
        import torch

        at, dtype, shape = self._places[name]
        self._file.seek(at)
        found = bytearray(self._file.read(shape.numel() * dtype.itemsize))
        return torch.frombuffer(found, dtype=dtype).view(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
