"""`plugins list`, `plugins check` and `plugins new`: words, exit codes, and that what is written works."""

import json
import os
import subprocess
import sys

import pytest

from tests.cli.runs import command_line, main
from tests.cli.test_installed import install
from tests.conftest import ROOT
from tests.testing.head_twins import Consumes
from tlplug.commands.plugins.scaffold import FILES, create
from tlplug.interfaces.registry import Registry

KINDS = ("strategy", "head", "metric")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["lsit"], "No such command 'lsit'. Did you mean 'list'?"),
        (["chekc", "lora"], "Did you mean 'check'?"),
        (["list", "lora"], "unexpected extra argument (lora)"),
        (["check"], "Missing argument 'NAME'"),
        (["check", "lroa"], "Did you mean 'lora'"),
        (["check", "lora", "--kind", "head"], "there is no head 'lora'"),
        (["check", "lora", "--knid", "head"], "Did you mean '--kind'"),
        (["check", "lora", "rnk=4"], "rnk=4"),
        (["check", "lora", "rank=many"], "rank=many"),
        (["check", "lora", "r=0"], "r is 0"),
        (["check", "lora", "--rows", "rows.jsonl"], "--rows are for a head"),
        (["check", "classification", "--rows", "rows.jsonl"], "rows.jsonl cannot be read"),
        (["check", "no.such.Thing"], "No module named 'no'"),
        (["check", "json.dumps"], "derived from none of tlplug.Strategy"),
        (["new"], "Missing argument 'NAME'"),
        (["new", "--kind", "head"], "Missing argument 'NAME'"),
        (["new", "mine"], "Missing option '--kind'"),
        (["new", "mine", "--kind", "metrics"], "'metrics' is not one of 'strategy'"),
        (["new", "my-plugin", "--kind", "head"], "small letters, digits and _"),
        (["new", "class", "--kind", "head"], "small letters, digits and _"),
        (["new", "lora", "--kind", "strategy"], "there is a strategy of that name already"),
        (["new", "json", "--kind", "metric"], "a Python module json already"),
    ],
)
def test_wrong_words_are_exit_code_2_and_one_message(words, says, capsys, tmp_path):
    assert main(["plugins", *words]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.out == "" and "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


def test_each_command_has_a_help_of_its_own(capsys):
    for command, says in (("check", "--rows FILE"), ("new", "--out FOLDER"), ("list", "plugins list")):
        assert main(["plugins", command, "--help"]) == 0
        assert says in capsys.readouterr().out


def test_a_sound_metric_passes_with_a_line_for_each_check(capsys):
    assert main(["plugins", "check", "cost"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "metric cost, 13 checks" and lines[-1] == "cost passes all of them that apply"
    assert "✓ accepts saved evidence" in lines and len(lines) == 15


def test_fields_are_typed_and_passed_on(capsys):
    assert main(["plugins", "check", "transfer_gain", "resamples=200"]) == 0
    assert "transfer_gain passes" in capsys.readouterr().out


def test_a_class_by_its_dotted_path_fails_with_what_is_wrong_and_exit_code_1(capsys):
    assert main(["plugins", "check", "tests.testing.metric_twins.Sorts"]) == 1
    text = capsys.readouterr().out
    assert "✗ does not modify evidence: measure modifies 'example_scores/after', which other metrics" in text
    assert "tests.testing.metric_twins.Sorts fails 1 of 13 checks" in text


def test_a_broken_contract_is_a_failed_check_and_the_rest_is_not_run(capsys):
    assert main(["plugins", "check", "tests.testing.metric_twins.OtherContract"]) == 1
    text = capsys.readouterr().out
    assert "✗ implements contract: it is written for contract 2" in text
    assert "fails 1 of 13 checks; the other 12 need it first" in text


def test_rows_for_a_head_come_from_a_file(capsys, tmp_path):
    rows = [{"text": f"a film of {word}", "label": word} for word in ("joy", "dread")] * 4
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = f"{Consumes.__module__}.{Consumes.__name__}"
    assert main(["plugins", "check", path, "--rows", "rows.jsonl"]) == 1
    text = capsys.readouterr().out
    assert "✗ does not modify rows: on the kind encoder: collate modifies the features" in text
    assert "✓ features are serializable" in text and "- tune returns numbers: tunes is False" in text
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n' * 8)
    assert main(["plugins", "check", "classification", "--rows", "rows.jsonl"]) == 1


@pytest.mark.slow
def test_a_strategy_by_name_passes_on_the_command_line():
    done = command_line("plugins", "check", "linear_probe", "--fast")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "linear_probe passes all of them that apply" in done.stdout and done.stderr == ""


def test_finding_no_plugin_imports_nothing_heavy():
    code = (
        "import sys; from tlplug.cli import main; main(['plugins', 'check', 'lroa'])\n"
        "heavy = {'torch', 'transformers', 'lightning', 'peft'} & set(sys.modules)\n"
        "sys.exit(f'{heavy} loaded' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_all_of_a_distribution(kind, tmp_path, capsys):
    assert main(["plugins", "new", "mine_own", "--kind", kind]) == 0
    first, *steps = capsys.readouterr().out.splitlines()
    assert first == f"mine_own/ holds the {kind} 'mine_own'. Next:"
    page = (ROOT / "docs/write-a-plugin.md").read_text(encoding="utf-8").replace("my_method", "mine_own")
    assert "\n".join(step.strip() for step in steps) in page
    assert "\n".join(step.strip() for step in steps[1:]) in (tmp_path / "mine_own/README.md").read_text()
    written = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert written == {
        f"mine_own/{name}"
        for name in ("pyproject.toml", "README.md", "mine_own.py", "tests/test_mine_own.py")
    }
    assert len(FILES) == 4
    assert "class MineOwn(" in (tmp_path / "mine_own/mine_own.py").read_text()


def test_what_is_there_is_left_alone_and_nothing_is_half_written(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("mine")
    assert main(["plugins", "new", "mine", "--kind", "head"]) == 2
    assert [file.name for file in tmp_path.rglob("*")] == ["mine", "note.txt"]
    monkeypatch.setitem(FILES, "more.txt", "no_such_template.txt")
    with pytest.raises(FileNotFoundError):
        create("other", "head", tmp_path / "other", Registry())
    assert not (tmp_path / "other").exists() and len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_installs_and_its_own_tests_pass_as_written(kind, tmp_path):
    folder = create("mine_own", kind, tmp_path / "mine_own", Registry())
    env = install(folder, tmp_path / "site", tmp_path / "work")
    # This project comes first here as it would from its own site-packages, with its pytest plugin.
    env = {"PYTHONPATH": os.pathsep.join([env["PYTHONPATH"], str(ROOT)])}
    listed = command_line("plugins", "list", env=env, cwd=tmp_path)
    assert "mine-own 0.1.0" in listed.stdout
    plugin = ["-p", "tlplug.testing.pytest_plugin"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-ra",
            "--strict-markers",
            *(plugin if not registered() else []),
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **env},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout and "failed" not in done.stdout


def registered():
    from importlib.metadata import entry_points

    return any(point.value == "tlplug.testing.pytest_plugin" for point in entry_points(group="pytest11"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_formatted_and_clean(kind, tmp_path):
    folder = create("mine_own", kind, tmp_path / "mine_own", Registry())
    for words in (["check", "--select", "E,F,I,B,UP,SIM,C4"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *words, "--isolated", "--line-length", "110", "."]
        done = subprocess.run(ruff, capture_output=True, text=True, cwd=folder, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
