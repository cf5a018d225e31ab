"""Files that would run code, or read what is not theirs, if whoever reads them let them."""

import json
import pickle
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import torch


class Touches:
    """When it is unpickled, a file is made."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def bomb(file, ran):
    """A pickle in torch's own container, under any name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": Touches(ran)}, file)
    return file


def plain_bomb(file, ran):
    file.write_bytes(pickle.dumps(Touches(ran)))
    return file


def changed(file, **values):
    """A JSON file with other values."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    return file


def code_beside(folder, ran, name="forged_code"):
    """A module that makes a file when it is imported, as models and tokenizers bring it."""
    (folder / f"{name}.py").write_text(
        f"from pathlib import Path\nPath({str(ran)!r}).touch()\nclass Theirs:\n    pass\n"
    )
    return f"{name}.Theirs"


def zipped(file, **members):
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return file


def tarred(file, outside):
    """`../escaped.jsonl`, an absolute path and a link out of the folder."""
    row = outside.parent / "row.jsonl"
    row.write_text('{"text": "a", "label": "b"}\n')
    with tarfile.open(file, "w:gz") as archive:
        archive.add(row, arcname="../escaped.jsonl")
        archive.add(row, arcname=str(outside))
        link = tarfile.TarInfo("train.jsonl")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return file


def gguf_that_lies(file, tensors, pairs):
    """A GGUF header that speaks of more than the file has."""
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + b"\xff" * 64)
    return file


def safetensors_that_lies(file, size):
    """A safetensors header that is said to be `size` bytes long."""
    file.write_bytes(struct.pack("<Q", size) + b'{"a": {}}')
    return file


def copy_of(folder, to):
    return shutil.copytree(folder, to, symlinks=True)


def distribution(folder, name, version, **points):
    """What an installed distribution looks like to importlib.metadata; `points` are entry-point groups and their lines."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"[tlplug.{group}]\n{line}\n" for group, line in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return info
