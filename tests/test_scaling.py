"""The scaling benchmark: lengths of its rows, own memory of a process, its files and its page."""

import json
import mmap
from pathlib import Path

import numpy as np
import pytest

from bench.processes import Peak, measure_command, memory_mb
from bench.scaling import __main__ as scaling
from bench.scaling.data import MEDIAN_WORDS, equal_sentences, sentences, write_rows
from bench.scaling.page import page

SIZE = 64 * 2**20
SELF = Path("/proc/self/status")


def test_texts_of_one_length_have_it_in_tokens():
    from transformers import AutoTokenizer

    from bench.scaling.data import minilm

    tokenizer = AutoTokenizer.from_pretrained(minilm())
    for tokens in (16, 256):
        encoded = tokenizer(list(equal_sentences(20, tokens)))["input_ids"]
        assert {len(each) for each in encoded} == {tokens}


def test_the_same_rows_are_made_each_time(tmp_path):
    write_rows(tmp_path / "a", 50)
    write_rows(tmp_path / "b", 50)
    for name in ("train", "validation", "test"):
        assert (tmp_path / f"a/{name}.jsonl").read_bytes() == (tmp_path / f"b/{name}.jsonl").read_bytes()
    assert (tmp_path / "a/validation.jsonl").read_bytes() != (tmp_path / "a/test.jsonl").read_bytes()


def test_sentences_have_the_documented_lengths():
    lengths = [len(text.split()) for text in sentences(2000, 0)]
    assert np.median(lengths) == pytest.approx(MEDIAN_WORDS, abs=1)
    assert np.mean([12 <= length <= 28 for length in lengths]) > 0.78


@pytest.mark.skipif(not SELF.exists(), reason="the memory is read from Linux's /proc")
def test_own_memory_counts_written_pages_and_no_mapped_ones(tmp_path):
    (tmp_path / "file").write_bytes(bytes(SIZE))
    before = memory_mb(SELF)
    with (
        (tmp_path / "file").open("rb") as file,
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as seen,
        Peak() as mapped,
    ):
        assert sum(seen[:: mmap.PAGESIZE]) == 0
    assert mapped.megabytes < before + 32
    before = memory_mb(SELF)
    # Not by malloc, which may give what an earlier test has written and freed.
    with mmap.mmap(-1, SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held, Peak() as written:
        held[:: mmap.PAGESIZE] = b"1" * (SIZE // mmap.PAGESIZE)
    assert written.megabytes > before + 60


def test_a_failing_process_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="exit code 2: python -m tlplug --no-such-thing"):
        measure_command(["tlplug", "--no-such-thing"], tmp_path)


def test_a_part_replaces_its_own_results_only(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "FILE", tmp_path / "scaling.json")
    for part, command in (("processes", "old"), ("batch", "one"), ("processes", "new")):
        scaling.save(part, {"command": command, "machine": {}, "found": {}})
    results = json.loads(scaling.FILE.read_text())
    assert {part: results[part]["command"] for part in results} == {"batch": "one", "processes": "new"}
    assert list(results) == ["batch", "processes"]
    assert "## Batch" in (tmp_path / "scaling.md").read_text()


def test_growth_is_shown_from_two_counts_on():
    cost = {"cpu_seconds": 1.0, "peak_mb": 100.0}
    stages = dict.fromkeys(("start", "read", "check", "encode", "batches", "steps", "fit"), cost)
    each = {"file_mb": 1.0, "first": stages, "again": stages, "command": cost}
    more = each | {"command": {"peak_mb": 101.0}}
    part = {"command": "it", "machine": {}, "found": {"1000": each}}
    assert "a further row" not in page({"rows": part})
    two = page({"rows": part | {"found": {"1000": each, "2024": more}}})
    assert "to that of the command 1024." in two


def test_an_unknown_part_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as error:
        scaling.main(["rows", "colums"])
    assert error.value.code == 2
    assert "bench: unknown word: colums" in capsys.readouterr().err
