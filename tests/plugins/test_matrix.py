"""Every head with every strategy on every kind of base model: it trains, and a new process predicts the same."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import NEGATIVE, PLAIN, POSITIVE, make_rows
from tests.models.test_base_kinds import saved
from tests.plugins.tiny_generators import FRAMES, TEMPLATE, byte_tokenizer
from tlplug import UsageError
from tlplug.interfaces.registry import Registry

HEADS, STRATEGIES = Registry().names("head"), Registry().names("strategy")
KINDS = {"encoder": "bert", "decoder": "llama", "encoder-decoder": "t5"}
AUTO = {"encoder": "AutoModel", "decoder": "AutoModelForCausalLM", "encoder-decoder": "AutoModelForSeq2SeqLM"}
GENERATES = {"summarization", "instruction", "language_modeling"}

# What is refused, and a word of why; written here by hand, not asked of the code.
REFUSED = {
    ("summarization", "encoder"): "it is an encoder",
    ("instruction", "encoder"): "it is an encoder",
    ("instruction", "encoder-decoder"): "written by a decoder",
    ("language_modeling", "encoder-decoder"): "encoder-decoder",
}
ONLY_CLASSIFIES = ("linear_probe", "coral", "dann")
PROBE = "works with classification and other heads"
ZERO = "modules that have to be trained"
WITHOUT_BIASES = "has no biases"
VIRTUAL = ("prefix_tuning", "prompt_tuning")
PACKED = "packed rows cannot"
ENCODER_HEADS = ("question_answering", "token_classification")
NO_CACHE = "accepts no keys and values of earlier tokens"


def refusal(head, strategy, kind):
    if strategy in ONLY_CLASSIFIES and head != "classification":
        return PROBE
    if strategy == "zero_shot" and (
        head not in GENERATES or (head, kind) == ("language_modeling", "encoder")
    ):
        return ZERO
    return REFUSED.get((head, kind)) or refused_of(strategy, head, kind)


def refused_of(strategy, head, kind):
    """What a strategy cannot do on these three architectures."""
    if strategy == "bitfit" and kind != "encoder":
        return WITHOUT_BIASES
    if strategy in VIRTUAL and kind == "decoder" and head in ("instruction", "language_modeling"):
        return PACKED
    if strategy == "prefix_tuning" and kind == "encoder-decoder" and head in ENCODER_HEADS:
        return NO_CACHE
    return None


def tagged(row):
    words = row["text"].split()
    return {
        "tokens": words,
        "tags": ["B-GOOD" if w in POSITIVE else "B-BAD" if w in NEGATIVE else "O" for w in words],
    }


def asked(row):
    words = row["text"].split()
    answer = next(word for word in words if word not in PLAIN)
    start = row["text"].index(answer)
    return {
        "context": row["text"],
        "question": "what was the film",
        "answers": {"text": [answer], "answer_start": [start]},
    }


MAKE = {
    "classification": lambda row: {"text": row["text"], "label": row["label"]},
    "token_classification": tagged,
    "question_answering": asked,
    "summarization": lambda row: {"document": row["text"], "summary": row["label"]},
    "instruction": lambda row: {
        "messages": [
            {"role": "user", "content": row["text"]},
            {"role": "assistant", "content": row["label"]},
        ]
    },
    "language_modeling": lambda row: {"text": row["text"]},
}
FIELDS = {
    "summarization": ["head.max_new_tokens=6"],
    "instruction": ["head.max_new_tokens=6"],
}


TO_A_TARGET = ("coral", "dann")


@dataclass
class Cell:
    head: str
    strategy: str
    kind: str

    def words(self, root):
        settled = "masked" if self.kind == "encoder" else "causal"
        objective = [f"head.objective={settled}"] if self.head == "language_modeling" else []
        return [
            *(
                f"strategy={self.strategy}",
                "task=sentiment",
                f"head={self.head}",
                "model=custom",
                "data=files",
            ),
            *(f"model.source={root / self.kind}", f"data.path={root / self.head}", "data.max_length=128"),
            *("data.splits.validation=validation", "data.splits.test=test", "data.batch_size=4"),
            *("trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.devices=1", "logger=[]"),
            # In bfloat16 what random weights say of a row depends on the padding of its batch.
            "trainer.precision=32-true",
            *("transfer.baselines=[]", *objective, *FIELDS.get(self.head, [])),
            *([f"data.target_domain={root / self.head}"] if self.strategy in TO_A_TARGET else []),
        ]


CELLS = [Cell(head, strategy, kind) for head in HEADS for strategy in STRATEGIES for kind in KINDS]
RUNS = [cell for cell in CELLS if refusal(cell.head, cell.strategy, cell.kind) is None]


def name(cell):
    return f"{cell.head}-{cell.strategy}-{cell.kind}"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The three tiny base models and the rows of each head."""
    folder = tmp_path_factory.mktemp("matrix")
    for kind, architecture in KINDS.items():
        tokenizer = None if kind == "encoder" else byte_tokenizer(FRAMES[architecture], TEMPLATE)
        saved(architecture, folder / kind, tokenizer, AUTO[kind])
    for head in HEADS:
        (folder / head).mkdir()
        for seed, (split, count) in enumerate({"train": 8, "validation": 4, "test": 6}.items()):
            rows = [MAKE[head](row) for row in make_rows(count, seed)]
            (folder / head / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def job_of(cell, root, **more):
    from tlplug.config.compose import Composer
    from tlplug.config.job import build

    with Composer() as composer:
        return build(
            composer.compose([*cell.words(root), *(f"{key}={value}" for key, value in more.items())])
        )


PREDICT = """
import json, sys
import tlplug
for folder in sys.argv[1:]:
    run = tlplug.load(folder)
    rows = [json.loads(line) for line in open(folder + "/predictions.jsonl", encoding="utf-8")]
    columns = {*run.head.columns} - {*run.head.targets}
    given = [{name: row[name] for name in columns} for row in rows]
    print(json.dumps({"folder": folder, "predictions": run.predict(given, batch_size=3)}))
"""


@pytest.fixture(scope="module")
def predictions(root):
    """Each run of the matrix, and what a new process predicts with it, by the cell's name."""
    from rich.console import Console

    from tlplug.runs.run import run

    folders = []
    for cell in RUNS:
        folders.append(root / "runs" / name(cell))
        run(job_of(cell, root, run_dir=folders[-1]), Console(quiet=True))
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, *map(str, folders)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {Path(each["folder"]).name: each["predictions"] for each in found}


@pytest.mark.slow
@pytest.mark.parametrize("cell", RUNS, ids=name)
def test_a_new_process_predicts_as_the_run_did(cell, predictions, root):
    lines = (root / "runs" / name(cell) / "predictions.jsonl").read_text().splitlines()
    before, after = [json.loads(line) for line in lines], predictions[name(cell)]
    assert len(before) == len(after) == 6
    for one, other in zip(before, after, strict=True):
        for key, value in other.items():
            assert equal(value, one[key]), key


def equal(one, other):
    if isinstance(one, float):
        return one == pytest.approx(other, rel=1e-3, abs=1e-4)
    if isinstance(one, dict):
        return set(one) == set(other) and all(equal(one[key], other[key]) for key in one)
    return one == other


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell not in RUNS], ids=name)
def test_what_cannot_work_is_refused_before_the_model_loads(cell, root, monkeypatch):
    from rich.console import Console

    from tlplug.runs.run import run

    monkeypatch.setattr("tlplug.training.fit.load", lambda *given: pytest.fail("the model was loaded"))
    with pytest.raises(UsageError) as error:
        run(job_of(cell, root, run_dir=root / "refused" / name(cell)), Console(quiet=True))
    assert refusal(cell.head, cell.strategy, cell.kind) in str(error.value)
    assert not (root / "refused" / name(cell)).exists()


def test_most_of_the_matrix_runs():
    assert len(RUNS) > 150
