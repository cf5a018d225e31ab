"""A head of another distribution that reads arrays of numbers: no tokenizer, no `input_ids`, no mask."""

import importlib.util
import json
import os

import numpy as np
import pytest

from tests.cli.runs import QUICK, command_line, result_of
from tests.cli.test_installed import THIRD_PARTY, install

SOURCE = THIRD_PARTY / "array_classification"
spec = importlib.util.spec_from_file_location("array_rows", SOURCE / "test_array_classification.py")
samples = importlib.util.module_from_spec(spec)
spec.loader.exec_module(samples)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    env = install(SOURCE, tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("copy"))
    known = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([env["PYTHONPATH"], *([known] if known else [])])}


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory):
    return samples.vision_model(tmp_path_factory.mktemp("vit"))


@pytest.fixture(scope="module")
def array_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays")
    for seed, (name, count) in enumerate({"train": 48, "validation": 16, "test": 24}.items()):
        lines = [json.dumps(row) + "\n" for row in samples.rows(count, seed)]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    return folder


def words(strategy, base_folder, array_folder, run):
    return [
        *(f"strategy={strategy}", "task=sentiment", "head=array_classification"),
        *("model=custom", f"model.source={base_folder}", "data=files", f"data.path={array_folder}"),
        *("data.splits.validation=validation", "data.splits.test=test", "data.batch_size=8", *QUICK),
        *("transfer.baselines=[scratch,linear_probe]", f"run_dir={run}"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["full", "lora", "linear_probe"])
def test_it_trains_measures_reports_predicts_and_exports(
    strategy, theirs, base_folder, array_folder, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    monkeypatch.setenv("TLPLUG_CACHE", str(cache := tmp_path / "cache"))
    done = command_line(*words(strategy, base_folder, array_folder, run), env=theirs, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pixel_values [3, 16, 16]" in done.stdout and "tokens" not in done.stdout
    result = result_of(run)
    assert set(result["baselines"]) >= {"scratch", "linear_probe"} and (run / "report.html").is_file()
    assert isinstance(result["metrics"]["cka"], dict), result["metrics"]["cka"]
    assert "tokens_per_second" not in result["cost"]
    assert list((cache / "frozen").iterdir()), "the frozen model's features were not computed once"
    assert (run / "evidence").is_dir() and features(run, "before") == features(run, "after") == (3, 16, 32)
    predicted(run, array_folder, theirs, tmp_path)
    if strategy != "linear_probe":
        exported(run, theirs, tmp_path)


def features(run, stage):
    from safetensors.numpy import load_file

    found = load_file(run / "evidence" / "arrays.safetensors")[f"features/{stage}"]
    assert np.isfinite(found).all()
    return found.shape


def predicted(run, array_folder, env, folder):
    done = command_line("predict", run, "--input", array_folder / "test.jsonl", env=env, cwd=folder)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line)["prediction"] for line in done.stdout.splitlines()]
    before = [json.loads(line)["prediction"] for line in (run / "predictions.jsonl").read_text().splitlines()]
    assert answers == before and set(answers) <= {"lower", "upper"}


def exported(run, env, folder):
    import torch
    from transformers import AutoModelForImageClassification

    done = command_line("export", run, folder / "out", "--merge", env=env, cwd=folder)
    assert done.returncode == 0, done.stderr
    model = AutoModelForImageClassification.from_pretrained(folder / "out").eval()
    assert model.config.id2label == {0: "lower", 1: "upper"}
    rows = samples.rows(24, 2)
    with torch.no_grad():
        logits = model(torch.tensor([row["image"] for row in rows])).logits
    answers = [model.config.id2label[place] for place in logits.argmax(-1).tolist()]
    before = [json.loads(line)["prediction"] for line in (run / "predictions.jsonl").read_text().splitlines()]
    assert answers == before
    assert "Tokenizer" not in (folder / "out" / "README.md").read_text()
