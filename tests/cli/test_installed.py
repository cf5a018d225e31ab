"""What others install: the wheel, and plugins from other distributions, in clean folders."""

import os
import subprocess
import sys

import pytest

from tests.cli.runs import command_line, result_of, tiny_words
from tests.conftest import ROOT

THIRD_PARTY = ROOT / "tests" / "thirdparty"


def pip(*words):
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def install(source, folder, work):
    """A distribution into `folder`, built from a copy so that nothing is left beside its source."""
    import shutil

    ignored = shutil.ignore_patterns(".venv", ".git", "outputs", "build", "*.egg-info", ".*_cache")
    copy = shutil.copytree(source, work / source.name, ignore=ignored)
    pip("install", "--no-deps", "--no-build-isolation", "--target", folder, copy)
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Two other distributions: one sound, one that raises at import."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("bias_and_norm", "broken"):
        env = install(THIRD_PARTY / name, folder, tmp_path_factory.mktemp("copy"))
    return env


@pytest.mark.slow
def test_a_strategy_of_another_distribution_runs_end_to_end(theirs, tmp_path, tiny_folder, rows_folder):
    words = [
        "+strategy=bias_and_norm",
        "+task=sentiment",
        "strategy.norms=false",
        f"run_dir={tmp_path / 'run'}",
    ]
    done = command_line(*tiny_words(tiny_folder, rows_folder)[2:], *words, env=theirs, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = result_of(tmp_path / "run")
    assert result["strategy_config"] == {"norms": False}
    assert {
        "kind": "strategy",
        "name": "bias_and_norm",
        "distribution": "bias-and-norm",
        "version": "0.3.0",
    } in (result["plugins"])
    assert 0 < result["cost"]["trainable_parameters"] < result["cost"]["total_parameters"] / 10


def test_its_fields_are_typed_and_checked(theirs, tmp_path):
    words = ["strategy=bias_and_norm", "task=sentiment"]
    for wrong, says in (
        ("strategy.norm=false", "Did you mean 'strategy.norms'"),
        ("strategy.norms=5.5", "norms"),
    ):
        done = command_line(*words, wrong, env=theirs, cwd=tmp_path)
        assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr


def test_help_and_the_list_show_both_and_the_broken_one_with_why(theirs, tmp_path):
    shown = command_line("plugins", "list", env=theirs, cwd=tmp_path)
    assert shown.returncode == 0
    text = " ".join(shown.stdout.replace("│", " ").split())
    assert "bias-and-norm 0.3.0" in text and "libnothing.so.7" in text
    assert "bias_and_norm" in command_line("--help", env=theirs, cwd=tmp_path).stdout


def test_a_broken_plugin_is_an_error_only_where_it_is_selected(theirs, tmp_path):
    fine = command_line("strategy=lora", "task=sentiment", "--cfg", "job", env=theirs, cwd=tmp_path)
    assert fine.returncode == 0, fine.stderr
    chosen = command_line("strategy=broken", "task=sentiment", env=theirs, cwd=tmp_path)
    assert chosen.returncode == 2
    for words in ("broken-at-import 0.0.1", "broken_at_import:Broken", "libnothing.so.7 is not there"):
        assert words in chosen.stderr


@pytest.mark.slow
def test_a_wheel_holds_everything_and_composes_in_a_clean_folder(tmp_path):
    env = install(ROOT, tmp_path / "site", tmp_path)
    code = (
        "import tlplug, tlplug_conf, tlplug_plugins\n"
        "from tlplug.config.compose import Composer\n"
        "from tlplug.config.job import build\n"
        "with Composer() as composer:\n"
        "    job = build(composer.compose(['strategy=qlora', 'task=sentiment', 'strategy.r=2']))\n"
        "from tlplug.data.read import read_splits\n"
        "splits = read_splits(job.data, job.head.columns)\n"
        "from tlplug.reports.blocks import Report\n"
        "from tlplug.reports.html import page\n"
        "assert '<h1>A &amp; B</h1>' in page(Report('A & B', [], []))\n"
        "print(tlplug.__file__, tlplug_conf.__file__, tlplug_plugins.__file__, sep='\\n')\n"
        "print({name: len(split) for name, split in splits.items()}, job.strategy.config.r)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *files, last = done.stdout.split("\n")[:4]
    assert all(file.startswith(str(tmp_path / "site")) for file in files)
    assert last == "{'train': 320, 'validation': 80, 'test': 200} 2"
