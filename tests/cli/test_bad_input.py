"""Bad data of every head is one clear error with file and line, exit code 2, and nothing is left."""

import json

import pytest

from tests.cli.runs import main

GOOD = {
    "classification": {"text": "the film", "label": "good"},
    "token_classification": {"tokens": ["the", "film"], "tags": ["O", "B-X"]},
    "question_answering": {
        "context": "the film was flat",
        "question": "what was it",
        "answers": {"text": ["flat"], "answer_start": [13]},
    },
    "summarization": {"document": "the film was flat", "summary": "flat"},
    "instruction": {
        "messages": [{"role": "user", "content": "the film"}, {"role": "assistant", "content": "flat"}]
    },
    "language_modeling": {"text": "the film was flat"},
}


OTHER = {**GOOD, "classification": {"text": "the plot", "label": "bad"}}
"""Good rows too; a classification has two labels at least."""


def line(row):
    return row if isinstance(row, bytes) else (json.dumps(row) + "\n").encode()


def changed(head, **values):
    return {key: value for key, value in {**GOOD[head], **values}.items() if value is not ...}


def told(head, folder, tiny_folder, capsys, *words):
    code = main(
        [
            *(
                "strategy=full",
                "task=sentiment",
                f"head={head}",
                "model=custom",
                f"model.source={tiny_folder}",
            ),
            *(
                "data=files",
                f"data.path={folder}",
                "data.splits.validation=validation",
                "data.splits.test=test",
            ),
            *("transfer.baselines=[]", f"run_dir={folder / 'run'}", *words),
        ]
    )
    error = capsys.readouterr().err
    assert code == 2 and error.startswith("tlplug: ") and "Traceback" not in error, error
    assert not (folder / "run").exists()
    return error


def write(folder, head, **splits):
    for split in ("train", "validation", "test"):
        rows = splits.get(split, [GOOD[head], OTHER[head]])
        (folder / f"{split}.jsonl").write_bytes(b"".join(map(line, rows)))


WRONG = [
    ("classification", {"text": 7}, '"text" is text in '),
    ("classification", {"text": " "}, "column 'text' is empty"),
    ("classification", {"label": None}, "column 'label' is empty"),
    ("classification", {"text": ...}, "column 'text' should be text"),
    ("token_classification", {"tokens": 3}, '"tokens" is a list in '),
    ("token_classification", {"tags": ["O"]}, "column 'tags'"),
    ("token_classification", {"tags": None}, "column 'tags'"),
    ("question_answering", {"question": ""}, "column 'question' is empty"),
    (
        "question_answering",
        {"answers": {"text": ["flat"], "answer_start": [4]}},
        "column 'answers'",
    ),
    ("question_answering", {"answers": {"text": ["flat"], "answer_start": []}}, "column 'answers'"),
    ("question_answering", {"answers": {"text": [], "answer_start": []}}, "head.unanswerable=true"),
    ("question_answering", {"answers": "flat"}, "answers"),
    ("summarization", {"summary": None}, "column 'summary'"),
    ("summarization", {"document": ["a"]}, "document"),
    ("instruction", {"messages": []}, "column 'messages'"),
    ("instruction", {"messages": [{"role": "robot", "content": "x"}]}, "robot"),
    ("instruction", {"messages": [{"role": "user"}]}, "column 'messages'"),
    ("language_modeling", {"text": None}, "column 'text'"),
    ("language_modeling", {"text": ""}, "column 'text' is empty"),
]


@pytest.mark.parametrize(("head", "values", "says"), WRONG)
def test_a_wrong_row_is_named_by_file_and_line(head, values, says, tmp_path, tiny_folder, capsys):
    write(tmp_path, head, train=[GOOD[head], b"\n", changed(head, **values), OTHER[head]])
    error = told(head, tmp_path, tiny_folder, capsys)
    assert says in error and "train.jsonl, line 3" in error


@pytest.mark.parametrize(("head", "column"), [(head, list(row)[-1]) for head, row in GOOD.items()])
def test_a_column_that_is_not_there_is_told_with_those_that_are(head, column, tmp_path, tiny_folder, capsys):
    renamed = {("other" if key == column else key): value for key, value in GOOD[head].items()}
    write(tmp_path, head, train=[renamed], validation=[renamed], test=[renamed])
    error = told(head, tmp_path, tiny_folder, capsys)
    assert f'no column "{column}"' in error and "other" in error and f"data.columns.{column}=" in error


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize(
    ("head", "values", "strange"),
    [
        ("classification", {"label": "odd"}, "'odd'"),
        ("token_classification", {"tags": ["O", "B-ODD"]}, "B-ODD"),
    ],
)
def test_a_label_that_no_training_row_has_is_named(
    head, values, strange, split, tmp_path, tiny_folder, capsys
):
    write(tmp_path, head, **{split: [GOOD[head], changed(head, **values)]})
    error = told(head, tmp_path, tiny_folder, capsys)
    assert strange in error and f"{split}.jsonl, line 2" in error


@pytest.mark.parametrize("head", GOOD)
def test_files_that_are_none(head, tmp_path, tiny_folder, capsys):
    write(tmp_path, head, test=[])
    assert "test.jsonl, line 1: the file has no rows" in told(head, tmp_path, tiny_folder, capsys)
    write(tmp_path, head, train=[GOOD[head], b'{"text": "\xff"}\n'])
    assert "train.jsonl, line 2: byte 11 is not UTF-8" in told(head, tmp_path, tiny_folder, capsys)
    write(tmp_path, head, train=[GOOD[head], b'{"text": \n'])
    assert "train.jsonl, line 2: not valid JSON" in told(head, tmp_path, tiny_folder, capsys)


def test_a_folder_in_place_of_a_file(tmp_path, tiny_folder, capsys):
    write(tmp_path, "classification")
    (tmp_path / "deep.jsonl").mkdir()
    error = told("classification", tmp_path, tiny_folder, capsys, "data.splits.test=deep.jsonl")
    assert "data.splits.test=deep.jsonl" in error and "folder" in error


def test_a_line_of_a_megabyte_is_read_or_told(tmp_path, tiny_folder, capsys):
    long = changed("classification", text="film " * 200_000)
    write(
        tmp_path,
        "classification",
        train=[GOOD["classification"], long, {"text": "x", "label": ["a"]}, OTHER["classification"]],
    )
    error = told("classification", tmp_path, tiny_folder, capsys)
    assert "line 3" in error and "line 2" not in error and len(error) < 1000


@pytest.mark.parametrize("head", ["summarization", "instruction"])
def test_a_head_that_the_base_model_cannot_carry_says_why(head, tmp_path, tiny_folder, capsys):
    write(tmp_path, head)
    error = told(head, tmp_path, tiny_folder, capsys)
    assert f"head '{head}' does not work on {tiny_folder}: it is an encoder" in error
