"""The kit itself: its tiny models, its processes, its pytest plugin, and what importing it costs."""

import hashlib
import json
import os
import re
import subprocess
import sys
import textwrap

import pytest

from tests.conftest import ROOT
from tlplug.testing import CheckFailure, head_checks, metric_checks, strategy_checks
from tlplug.testing import tiny_models as tiny
from tlplug.testing.isolation import isolated, run_in_subprocesses
from tlplug.testing.sample_rows import MAKERS, rows_for
from tlplug.testing.tensors import difference, max_difference


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_tiny_base_model_is_of_its_kind_and_small(kind):
    from safetensors.torch import load_file

    assert tiny.base(kind).kind == kind
    weights = load_file(tiny.folder(kind) / "model.safetensors")
    assert sum(tensor.numel() for tensor in weights.values()) < 300_000


def test_they_are_the_same_in_every_process():
    code = (
        "import hashlib; from tlplug.testing import tiny_models as tiny\n"
        "for kind in tiny.KINDS:\n"
        "    print(hashlib.sha256((tiny.folder(kind) / 'model.safetensors').read_bytes()).hexdigest())"
    )
    environment = {name: value for name, value in os.environ.items() if name != tiny.HOME}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    files = [tiny.folder(kind) / "model.safetensors" for kind in tiny.KINDS]
    assert done.stdout.split() == [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def test_dropout_can_be_off_and_the_shared_config_stays_as_it_is():
    quiet, usual = tiny.base("encoder", dropout=False), tiny.base("encoder")
    assert (quiet.config.hidden_dropout_prob, usual.config.hidden_dropout_prob) == (0.0, 0.1)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_the_tokenizers_know_every_text(kind):
    tokenizer = tiny.base(kind).tokenizer
    for text in ("a warm film.", "what, never seen? (42)"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id is None or tokenizer.unk_token_id not in ids
    shown = tokenizer.decode(tokenizer("a warm film")["input_ids"], skip_special_tokens=True)
    assert shown.strip() == "a warm film"


def test_there_are_rows_for_every_built_in_head():
    from tlplug.interfaces.registry import Registry

    for name in Registry().names("head"):
        columns = Registry().find("head", name).load()().columns
        rows = rows_for(columns, 5)
        assert [row["id"] for row in rows] == list(range(5)) and all(set(columns) <= set(row) for row in rows)
    assert rows_for(["no", "such", "columns"], 5) is None
    assert all(json.dumps(rows_for(columns, 2)) for columns in MAKERS)


def test_outputs_are_compared_by_form_and_number():
    assert max_difference({"a": [1.0, 2.0]}, {"a": [1.0, 2.5]}) == 0.5
    assert max_difference({"a": 1.0}, {"b": 1.0}) == float("inf") == max_difference([1.0], [1.0, 2.0])
    assert max_difference("x", "x") == 0.0 and max_difference("x", "y") == float("inf")


def test_tensors_are_compared_by_their_size():
    import torch

    big, small = torch.tensor([100.0, 1.0]), torch.tensor([0.01])
    assert difference({"big": big, "small": small}, {"big": big, "small": small * 2}) == (
        "small",
        pytest.approx(1e-4),
    )
    assert difference({"big": big, "small": small}, {"big": big, "small": small * 2}, 1e-4)[
        1
    ] == pytest.approx(1.0)
    assert difference({"big": big}, {"small": small})[1] == float("inf")


def test_what_is_cached_while_checking_is_not_the_user_s(monkeypatch, tmp_path):
    from tlplug.runtime.cache import cache_folder

    monkeypatch.setenv("TLPLUG_CACHE", str(tmp_path))
    with isolated():
        assert cache_folder().is_relative_to(tiny.home())
    assert cache_folder() == tmp_path


def remembered():
    return os.getpid(), tiny._find.cache_info().currsize


def fails():
    raise ValueError("not today")


@pytest.mark.slow
def test_a_new_process_knows_nothing_of_this_one():
    tiny.base("encoder")
    (first, kept), (second, _) = run_in_subprocesses([(remembered, ()), (remembered, ())])
    assert len({first, second, os.getpid()}) == 3 and kept == 0
    with pytest.raises(CheckFailure, match="ValueError was raised: not today"):
        run_in_subprocesses([(fails, ())])


def loaded_by(code):
    script = f"import sys\n{code}\nprint(*sorted(sys.modules))"
    return set(
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout.split()
    )


HEAVY = {
    "torch",
    "transformers",
    "lightning",
    "peft",
    "datasets",
    "bitsandbytes",
    "numpy",
    "omegaconf",
    "hydra",
}


@pytest.mark.parametrize("module", ["tlplug.testing", "tlplug.testing.pytest_plugin"])
def test_importing_it_loads_nothing_heavy(module):
    assert not HEAVY & loaded_by(f"import {module}")


THEIRS = """
import pytest
from tests.testing.sound import SoundMetric, SoundStrategy
from tlplug.testing import metric_checks, strategy_checks

@pytest.mark.parametrize("check", metric_checks(), ids=str)
def test_metric(check):
    check(SoundMetric)

@pytest.mark.parametrize("check", strategy_checks(), ids=str)
def test_strategy(check):
    pass

def test_base(tlplug_base, tlplug_rows):
    assert tlplug_base("decoder").kind == "decoder"
    assert len(tlplug_rows({"text", "label"}, 3)) == 3
"""


def test_pytest_shows_a_test_for_each_check_and_marks_the_slow_ones(tmp_path):
    (tmp_path / "test_theirs.py").write_text(textwrap.dedent(THEIRS))
    plugin = [] if plugged_in() else ["-p", "tlplug.testing.pytest_plugin"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            *plugin,
            "-v",
            "--strict-markers",
            "-m",
            "not slow",
            "test_theirs.py",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "test_metric[does_not_modify_evidence] PASSED" in done.stdout
    assert (
        "test_strategy[resumes_from_checkpoint] PASSED" in done.stdout and "test_base PASSED" in done.stdout
    )
    assert "2 deselected" in done.stdout and "ddp_matches_single_process" not in done.stdout


def plugged_in():
    from importlib.metadata import entry_points

    return any(point.value == "tlplug.testing.pytest_plugin" for point in entry_points(group="pytest11"))


def test_the_page_describes_every_check_and_no_other():
    page = (ROOT / "docs/write-a-plugin.md").read_text(encoding="utf-8")
    kit = page.split("## The conformance kit\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", kit, re.MULTILINE)
    checks = [*strategy_checks(), *head_checks(), *metric_checks()]
    assert set(rows) == {(check.name, check.description) for check in checks}
    assert len(rows) == len(set(rows)), "the checks of all kinds are listed once"


def test_the_entry_point_stands_in_the_project_file():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"tlplug": "tlplug.testing.pytest_plugin"}
