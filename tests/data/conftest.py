"""Fixtures for the tests of data: no way to the network."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and a cache of `datasets` and a working directory of the test's own."""
    import datasets

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def alone(tmp_path: Path, offline: None) -> Iterator[None]:
    """No network, and nothing is left in the cache of `datasets`."""
    yield
    assert not (tmp_path / "cache").exists()
