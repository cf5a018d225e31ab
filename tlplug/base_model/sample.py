"""A digest of a base model's weights that reads megabytes of them, not gigabytes, and is the same for a copy."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tlplug.interfaces import BaseInfo

CHUNK, CHUNKS = 16_384, 256


def sampled_digest(base: BaseInfo) -> str:
    """SHA-256 of the config and of chunks from all over the weights; of a hub id, of its commit.

    Two models that were trained apart differ in nearly every byte. Who changes single weights by hand is not found out.
    """
    found = hashlib.sha256(base.config.to_json_string().encode())
    folder = Path(base.path)
    if not folder.is_dir():
        found.update(base.fingerprint.encode())
    for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
        found.update(f"{path.name} {path.stat().st_size}".encode())
        for chunk in chunks(path):
            found.update(chunk)
    return found.hexdigest()


def chunks(path: Path) -> list[bytes]:
    """Evenly spread over a file, its beginning among them; all of one that is small."""
    size = path.stat().st_size
    if size <= CHUNK * CHUNKS:
        return [path.read_bytes()]
    with path.open("rb") as file:
        read = []
        for number in range(CHUNKS):
            file.seek(number * (size - CHUNK) // (CHUNKS - 1))
            read.append(file.read(CHUNK))
        return read
