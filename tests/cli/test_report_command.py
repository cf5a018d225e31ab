"""`report`: words -> a comparison of finished runs, or one run's report."""

import json

import pytest

from tests.cli.runs import command_line, main
from tests.commands.sample_runs import make_run, make_sweep, right


def test_a_sweep_is_gathered_into_itself(tmp_path, capsys):
    sweep = make_sweep(tmp_path / "sweep")
    assert main(["report", str(sweep)]) == 0
    out = capsys.readouterr().out
    assert "full" in out and "linear_probe" in out and str(sweep / "report.html") in out
    assert json.loads((sweep / "comparison.json").read_text())["tasks"][0]["best"] == "full"


def test_a_page_that_is_no_comparison_of_ours_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = make_sweep(tmp_path / "sweep", {"lora": 0.7, "full": 0.9}, seeds=(1,))
    (sweep / "report.html").write_text("mine")
    assert main(["report", "sweep"]) == 0
    assert (sweep / "report.html").read_text() == "mine" and not (sweep / "comparison.json").exists()
    assert len(list((tmp_path / "outputs" / "reports").iterdir())) == 1


def test_runs_are_gathered_into_a_folder_of_their_own(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_sweep(tmp_path / "sweep", {"lora": 0.7, "full": 0.9}, seeds=(1,))
    assert main(["report", "sweep/0", "sweep/1"]) == 0
    (folder,) = (tmp_path / "outputs" / "reports").iterdir()
    assert {path.name for path in folder.iterdir()} == {"comparison.json", "report.html", "report.md"}
    assert f"outputs/reports/{folder.name}/report.html" in capsys.readouterr().out


def test_one_run_s_own_report_is_written_anew(tmp_path, capsys):
    run = make_run(tmp_path / "run", right(0.8))
    assert main(["report", str(run)]) == 0
    assert str(run / "report.html") in capsys.readouterr().out
    assert not (run / "comparison.json").exists()


def test_output_names_the_folder(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", {"lora": 0.7, "full": 0.9}, seeds=(1,))
    assert main(["report", str(sweep), "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "comparison.json").is_file() and not (sweep / "comparison.json").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Missing argument 'RUN...'"),
        (["nowhere"], "nowhere: there is no such folder"),
        (["empty"], "empty: there is no run in it"),
        (["file"], "file is a file"),
        (["sweep", "nowhere"], "nowhere: there is no such folder"),
        (["sweep", "--output", "sweep"], "--output sweep: something lies there already"),
        (["sweep", "--ouput", "x"], "Did you mean '--output'?"),
        (["unfinished"], "unfinished: it is not finished"),
        (["only"], "no run can be used:\n  only/old: result.json is of version 0"),
    ],
)
def test_bad_words_are_one_error(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    make_sweep(tmp_path / "sweep", {"lora": 0.7}, seeds=(1,))
    make_run(tmp_path / "only" / "old", right(0.8), version=0)
    for name in ("empty", "unfinished"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "unfinished" / "config.yaml").write_text("seed: 1\nstrategy: {name: lora}\n")
    assert main(["report", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tlplug: ") and told in error
    assert not (tmp_path / "outputs").exists()


def test_what_was_left_out_is_told(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", {"lora": 0.7, "full": 0.9}, seeds=(1,))
    make_run(sweep / "other", right(0.8, 50), "full", seed=2)
    done = command_line("report", sweep, env={"COLUMNS": "80"})
    assert done.returncode == 0, done.stderr
    assert f"Left out  {sweep / 'other'}: it was tested on 50 rows, the others on 100" in done.stdout
