"""Go on without a cache that cannot be written."""

from __future__ import annotations

from tlplug.runtime import cache


def test_a_cache_that_cannot_be_written_does_not_fail_the_run(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TLPLUG_CACHE", str(tmp_path / "file"))
    cache.write("outcomes", "key", {"a": 1})
    assert "cannot be written" in caplog.text and cache.read("outcomes", "key") is None
