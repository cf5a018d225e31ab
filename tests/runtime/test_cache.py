"""Keys of the cache are made of content; a run goes on without a cache that cannot be written."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from uuid import UUID

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import ROOT
from tlplug.runtime import cache
from tlplug.runtime.cache import canonical_bytes


def test_a_cache_that_cannot_be_written_does_not_fail_the_run(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TLPLUG_CACHE", str(tmp_path / "file"))
    cache.write("outcomes", "key", {"a": 1})
    assert "cannot be written" in caplog.text and cache.read("outcomes", "key") is None


@pytest.fixture
def counted(tmp_path):
    """Ask for a value of the file `a/b`; gives it, and how often it was computed so far."""
    calls = []

    def ask(compute=lambda: "content"):
        def run():
            calls.append(1)
            return compute()

        path = tmp_path / "a/b"
        value = cache.get_or_compute(path, run, lambda file: json.loads(file.read_text()), write_json)
        return value, len(calls)

    return ask


def write_json(value, path):
    path.write_text(json.dumps(value))


def test_a_value_is_computed_once_and_again_where_its_file_is_damaged(counted, tmp_path, caplog):
    assert [counted(), counted()] == [("content", 1)] * 2
    (tmp_path / "a/b").write_text('"con')
    assert counted() == ("content", 2) and f"{tmp_path / 'a/b'} is damaged (" in caplog.text
    assert counted() == ("content", 2)


def test_a_value_that_cannot_be_written_is_given_all_the_same(counted, tmp_path, caplog, monkeypatch):
    def full(value, path):
        path.write_text("half of it")
        raise OSError("no space left")

    monkeypatch.setattr(f"{__name__}.write_json", full)
    assert [counted(), counted()] == [("content", 1), ("content", 2)]
    assert f"{tmp_path / 'a/b'} cannot be written (no space left); the next run makes it again" in caplog.text
    assert list((tmp_path / "a").iterdir()) == []


def test_what_fails_to_be_computed_leaves_nothing(counted, tmp_path):
    with pytest.raises(ZeroDivisionError):
        counted(lambda: 1 / 0)
    assert not (tmp_path / "a").exists()


def picture(mode: str = "RGB", size: tuple[int, int] = (3, 2), color: object = 7) -> Image.Image:
    return Image.new(mode, size, color)


def palette(*colors: int) -> Image.Image:
    image = picture("P", color=1)
    image.putpalette(colors)
    return image


class Sound:
    """What `datasets` decodes a sound to: samples and their rate."""

    def __init__(self, rate: int = 16_000, first: float = 0.5) -> None:
        self.sample_rate, self.data = rate, torch.tensor([[first, 0.25]])

    def get_all_samples(self) -> Sound:
        return self


DIFFERENT = {
    "pictures": [
        *(picture(), picture(color=8), picture(size=(2, 3)), picture("L"), picture("RGBA")),
        *(palette(0, 0, 0, 255, 0, 0), palette(0, 0, 0, 0, 255, 0)),
    ],
    "tensors": [
        *(torch.zeros(6), torch.zeros(2, 3), torch.ones(6), torch.zeros(6, dtype=torch.bfloat16)),
        *(torch.zeros(6, dtype=torch.int64), np.zeros(6), torch.float32, torch.bfloat16),
    ],
    "arrays": [
        *(np.zeros(6), np.zeros((2, 3)), np.zeros(6, np.float32), np.zeros(6, ">f8"), np.float64(0.0)),
        *(np.array(["a", "b"], object), np.array(["ab", ""], object), np.array([b"a"])),
    ],
    "sounds": [Sound(), Sound(rate=8_000), Sound(first=0.75)],
    "dates": [
        *(date(2025, 3, 1), datetime(2025, 3, 1), datetime(2025, 3, 1, tzinfo=UTC), date(2025, 1, 3)),
        *(time(3, 1), timedelta(days=1), timedelta(hours=1), "2025-03-01"),
    ],
    "others": [
        *(Decimal("1.0"), Decimal("1.00"), 1.0, 1, True, "1", b"1", None, "None"),
        *(PurePosixPath("a/b"), UUID(int=1), range(3), {0, 1, 2}, [0, 1, 2]),
    ],
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_values_that_differ_have_other_keys_in_a_row_of_any_depth(kind: str) -> None:
    values = DIFFERENT[kind]
    for wrapped in (values, [{"id": 0, "x": each} for each in values], [[{"x": [each]}] for each in values]):
        assert len({canonical_bytes(each) for each in wrapped}) == len(values)


@pytest.mark.parametrize("value", [each for values in DIFFERENT.values() for each in values])
def test_copies_of_a_value_have_one_key(value: object) -> None:
    copied = value.copy() if hasattr(value, "copy") else value
    copied = value.clone() if isinstance(value, torch.Tensor) else copied
    row, again = {"id": 0, "x": value, "y": b""}, {"y": b"", "x": copied, "id": 0}
    assert canonical_bytes(row) == canonical_bytes(again)


def test_a_view_of_an_array_is_its_content() -> None:
    whole = np.arange(12).reshape(3, 4)
    assert canonical_bytes(whole[:, ::2]) == canonical_bytes(whole[:, ::2].copy())
    turned = torch.arange(6.0).reshape(2, 3).T
    assert canonical_bytes(turned) == canonical_bytes(turned.contiguous())


def test_keys_are_the_same_in_another_process() -> None:
    code = (
        "import json, numpy as np, torch; from datetime import date; from PIL import Image\n"
        "from tlplug.runtime.cache import key_of\n"
        "values = [Image.new('RGB', (3, 2), 7), torch.zeros(6), np.arange(3), date(2025, 3, 1), {'b', 'a', 'c'}]\n"
        "print(json.dumps([key_of([value]) for value in values]))"
    )
    done = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        for _ in range(2)
    ]
    first, second = (json.loads(each.stdout) for each in done)
    values = [Image.new("RGB", (3, 2), 7), torch.zeros(6), np.arange(3), date(2025, 3, 1), {"b", "a", "c"}]
    assert first == second == [cache.key_of([value]) for value in values]


@pytest.mark.parametrize("value", [object(), {"x": object()}, [lambda: 0], np.array([object()])])
def test_what_has_no_content_of_its_own_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"cannot be part of a cache key"):
        canonical_bytes(value)
