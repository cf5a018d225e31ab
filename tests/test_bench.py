"""The benchmark's command line, and its summary and page of figures."""

import os

import pytest

from bench.__main__ import PARTS, Options, main, merge
from bench.trainer.arms import ARMS, command, is_close, summarize
from bench.trainer.measurements import MEASUREMENTS
from bench.trainer.results_page import page
from bench.trainer.tlplug_alone import entries

MACHINE = {"processor": "abacus", "cores": 1, "threads": "1"}


def runs(*seconds, accuracy=0.8, **more):
    return [
        {"seed": seed, "accuracy": accuracy, "train_seconds": each, "command": "python -m it", **more}
        for seed, each in enumerate(seconds)
    ]


def strategy(command="python -m bench", **arms):
    return {
        "command": command,
        "machine": MACHINE,
        "settings": {"rows": 8},
        "arms": arms,
        "summary": summarize(arms, ["accuracy"]),
    }


def test_without_words_everything_is_measured():
    options = Options([])
    assert options.parts == list(PARTS)
    assert options.strategies_of("sst2") == list(MEASUREMENTS["sst2"].strategies)
    assert options.seeds_of("sst2") == (0, 1, 2)


def test_words_select_a_part_a_strategy_and_a_seed():
    options = Options(["sst2", "lora", "1"])
    assert options.error() is None
    assert (options.parts, options.strategies_of("sst2"), options.seeds_of("sst2")) == (
        ["sst2"],
        ["lora"],
        [1],
    )


def test_a_strategy_alone_selects_the_parts_that_have_it():
    assert Options(["full"]).parts == ["sst2", "squad"]


def test_a_part_without_strategies_is_selected_alone():
    assert Options(["curves", "second"]).error() is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sst3"], "sst3 is no part, no strategy, no seed and no setting"),
        (["scitldr", "qlora"], "scitldr has no qlora"),
        (["curves", "lora"], "curves has no lora"),
        (["sst2", "row=3"], "no such setting: row"),
    ],
)
def test_unknown_words_are_a_usage_error(words, message, capsys):
    with pytest.raises(SystemExit) as error:
        main(words)
    assert error.value.code == 2
    assert f"bench: {message}\n" in capsys.readouterr().err


def test_a_summary_has_the_median_the_spread_and_ratios_pair_by_pair():
    summary = summarize({"tlplug": runs(1, 2, 4), "trainer": runs(3, 4, 20)}, ["accuracy"])
    assert summary["trainer"]["train_seconds"] == {"median": 4, "min": 3, "max": 20}
    assert summary["trainer"]["ratios"] == {"train_seconds": 3}
    assert "peak_memory_mb" not in summary["trainer"]


def test_arms_are_near_within_the_measurement_s_points_and_no_further():
    least = MEASUREMENTS["sst2"].points / 100
    for difference, expected in ((0.9 * least, True), (1.1 * least, False)):
        trainer = runs(1, accuracy=0.8 + difference)
        assert is_close("sst2", strategy(tlplug=runs(1), trainer=trainer)) is expected


def test_a_strategy_replaces_its_own_results_only():
    before = {"curves": {}, "sst2": {"strategies": {"lora": 1, "qlora": 2}}}
    after = merge(before, "sst2", {"strategies": {"full": 3, "lora": 4}})
    assert after == {"sst2": {"strategies": {"lora": 4, "full": 3, "qlora": 2}}, "curves": {}}
    assert list(after["sst2"]["strategies"]) == ["lora", "full", "qlora"]


def test_the_page_has_a_row_for_each_arm_and_a_ratio_for_each_but_tlplug_s():
    arms = {arm: runs(2, 4) for arm in ARMS} | {"trainer": runs(6, 14)}
    text = page({"sst2": {"strategies": {"lora": strategy(**arms)}}})
    assert "| lora | trainer | 0.8000 | 10.0 (6.0 to 14.0) | - |" in text
    assert "| lora | trainer | 3.25 | - |" in text
    assert "| lora | tlplug | 1.00" not in text
    assert "processor abacus" in text


def test_tlplug_and_the_loop_get_the_same_words(tmp_path):
    words, _ = command("tlplug", "sst2", "lora", 3, tmp_path / "run", ["rows=8"])
    loop, _ = command("loop", "sst2", "lora", 3, tmp_path / "run", ["rows=8"])
    assert words[1:-1] == loop[2:]
    assert {"+strategy=lora", "data.limit.train=8", "seed=3"} <= set(loop)
    ours = ("precision", "dtype", "batching", "tokens_per_batch")
    assert not [word for word in loop if any(name in word for name in ours)]


def test_new_entries_of_a_cache_count_as_computed(tmp_path):
    for name in ("features/a.arrow", "features/.a.arrow.lock", "gguf/model", "outcomes/b.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("once")
    before = entries(tmp_path)
    assert {kind for kind, _, _ in before} == {"features", "outcomes"}
    os.utime(tmp_path / "features/.a.arrow.lock", (1, 1))
    assert entries(tmp_path) == before
    os.utime(tmp_path / "features/a.arrow", (1, 1))
    assert {kind for kind, _, _ in entries(tmp_path) - before} == {"features"}
