"""Encoded once for a content; the same on disk as the head gave them."""

from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import make_rows
from tlplug import UsageError
from tlplug.data import features as data_features
from tlplug.data.feature_keys import key_of
from tlplug.data.features import KIND, encode
from tlplug.interfaces.registry import Registry
from tlplug.runtime import cache

Classification = Registry().find("head", "classification").load()


@pytest.fixture
def head():
    return Classification().with_state({"labels": ["negative", "positive"]})


class Counting(Classification):
    """Counts the rows that it is asked to encode."""

    def __init__(self, config=None):
        super().__init__(config)
        self.seen = []

    def encode(self, rows, base, training):
        self.seen.append(len(rows))
        return super().encode(rows, base, training)


def test_the_features_are_the_head_s(head, tiny_base):
    rows = make_rows(23)
    found = encode(head, rows, tiny_base, True)
    assert list(found) == head.encode(rows, tiny_base, True)
    assert found.lengths.tolist() == [len(feature["input_ids"]) for feature in found]
    assert found[2:4][0] == found[2] and found.__getitems__([3, 1]) == [found[3], found[1]]


def test_the_second_time_nothing_is_encoded(tiny_base):
    rows, told = make_rows(2300), []
    counting = Counting().with_state({"labels": ["negative", "positive"]})
    first = encode(counting, rows, tiny_base, True, told.append)
    assert counting.seen == told == [1000, 1000, 300]
    again = encode(counting, rows, tiny_base, True, told.append)
    assert counting.seen == [1000, 1000, 300] and list(again) == list(first) and again.key == first.key


class WithArrays(Classification):
    """Gives 800 bytes of arrays for each row."""

    def encode(self, rows, base, training):
        features = super().encode(rows, base, training)
        return [{**f, "pixels": np.full((2, 50), f["id"]), "empty": np.zeros(0)} for f in features]


def test_arrays_are_written_in_pieces_that_arrow_can_hold(tiny_base, monkeypatch):
    head = WithArrays().with_state({"labels": ["negative", "positive"]})
    monkeypatch.setattr(data_features, "LARGEST", 2000)
    found = encode(head, make_rows(5), tiny_base, True)
    assert [len(batch) for batch in found.stored.data.to_batches()] == [2, 2, 1]
    assert [int(feature["pixels"].max()) for feature in found] == [0, 1, 2, 3, 4]
    assert found[4]["pixels"].shape == (2, 50) and len(found.lengths) == 5
    monkeypatch.setattr(data_features, "LARGEST", 1)
    assert [
        len(piece) for piece in data_features.pieces(head.encode(make_rows(3), tiny_base, True), head)
    ] == [*(1, 1, 1)]


def test_a_piece_has_as_many_rows_as_can_be(head, tiny_base):
    (piece,) = data_features.pieces(head.encode(make_rows(30), tiny_base, True), head)
    assert len(piece) == 30
    assert data_features.LARGEST < 2**31


def test_the_key_changes_with_all_that_the_features_depend_on(head, tiny_base, monkeypatch):
    rows = make_rows(6)
    other_rows = [{**row, "text": row["text"] + " film"} if row["id"] == 5 else row for row in rows]
    tokenizer = tiny_base.tokenizer
    keys = [
        key_of(head, rows, tiny_base, True),
        key_of(head, rows, tiny_base, False),
        key_of(head, other_rows, tiny_base, True),
        key_of(head.with_state({"labels": ["positive", "negative"]}), rows, tiny_base, True),
        key_of(Classification(Classification.Config(threshold=0.4)), rows, tiny_base, True),
        key_of(Counting().with_state({"labels": list(head.labels)}), rows, tiny_base, True),
        key_of(head, rows, replace(tiny_base, max_length=8), True),
    ]
    monkeypatch.setattr(tokenizer, "chat_template", "other", raising=False)
    keys.append(key_of(head, rows, tiny_base, True))
    assert len(set(keys)) == len(keys)


def test_a_call_of_the_tokenizer_leaves_the_key_as_it_was(head, tiny_base):
    before = key_of(head, make_rows(3), tiny_base, True)
    tiny_base.tokenizer(["the film was flat"], truncation=True, padding=True, max_length=3)
    assert key_of(head, make_rows(3), tiny_base, True) == before


def test_added_tokens_change_the_key(head, tiny_base):
    import copy

    more = copy.deepcopy(tiny_base.tokenizer)
    more.add_tokens(["[NEW]"])
    rows = make_rows(3)
    assert key_of(head, rows, tiny_base, True) != key_of(head, rows, replace(tiny_base, processor=more), True)


def test_a_cache_that_cannot_be_written_costs_time_only(head, tiny_base, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TLPLUG_CACHE", str(tmp_path / "file"))
    found = encode(head, make_rows(5), tiny_base, True)
    assert len(found) == 5 and "cannot be written" in caplog.text


def test_nothing_half_written_is_left(head, tiny_base):
    class Failing(Classification):
        def encode(self, rows, base, training):
            if rows[0]["id"] >= 1000:
                raise RuntimeError("out of paper")
            return super().encode(rows, base, training)

    with pytest.raises(RuntimeError, match="out of paper"):
        encode(Failing().with_state({"labels": list(head.labels)}), make_rows(1500), tiny_base, True)
    left = [path for path in (cache.cache_folder() / KIND).iterdir() if path.suffix != ".lock"]
    assert left == []


def test_features_of_no_json_type_are_said(head, tiny_base):
    class Strange(Classification):
        def encode(self, rows, base, training):
            return [{"id": row["id"], "input_ids": [1] if row["id"] else ["a"]} for row in rows]

    with pytest.raises(UsageError, match="cannot be stored"):
        encode(Strange().with_state({"labels": list(head.labels)}), make_rows(3), tiny_base, True)


def test_the_first_rows_take_all_their_windows(tiny_base):
    class Windows(Classification):
        def encode(self, rows, base, training):
            return [
                {"id": r["id"], "part": p, "input_ids": [p] * 3} for r in rows for p in range(r["id"] + 1)
            ]

    found = encode(Windows().with_state({"labels": ["a"]}), make_rows(5), tiny_base, False)
    assert [(f["id"], f["part"]) for f in found.of_rows(2)] == [(0, 0), (1, 0), (1, 1)]
    assert len(found.of_rows(99)) == len(found) == 15


def test_features_of_other_keys_than_the_first_are_said(head, tiny_base):
    class Uneven(Classification):
        def encode(self, rows, base, training):
            return [{"id": r["id"], "input_ids": [1], **({"part": 0} if r["id"] else {})} for r in rows]

    with pytest.raises(UsageError, match="features of different keys"):
        encode(Uneven().with_state({"labels": list(head.labels)}), make_rows(3), tiny_base, True)


def test_a_damaged_file_is_made_again_and_said(head, tiny_base, caplog):
    first = encode(head, make_rows(5), tiny_base, True)
    path = cache.cache_folder() / KIND / f"{first.key}.arrow"
    path.write_bytes(path.read_bytes()[:100])
    assert list(encode(head, make_rows(5), tiny_base, True)) == list(
        head.encode(make_rows(5), tiny_base, True)
    )
    assert "is damaged" in caplog.text


def test_another_end_token_changes_the_key(head, tiny_base, monkeypatch):
    import copy

    other = copy.deepcopy(tiny_base.tokenizer)
    other.eos_token = "[SEP]"
    rows = make_rows(3)
    assert key_of(head, rows, tiny_base, True) != key_of(
        head, rows, replace(tiny_base, processor=other), True
    )
