"""Whatever stands in a data file, a run either has its rows or says what is wrong with which file."""

import shutil
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.fuzz import data_files as fuzz
from tests.fuzz.judged import examples
from tlplug.config.compose import Composer
from tlplug.config.job import build
from tlplug.errors import UsageError
from tlplug.runs.prepare import prepare
from tlplug.runtime.console import Reporter

pytestmark = pytest.mark.slow

NO_MODEL = "./no-model"


@cache
def job_of(head):
    """A run of that head on the folder `data`, whose base model is not there."""
    words = ["strategy=full", "task=sentiment", f"head={head}", "model=custom", f"model.source={NO_MODEL}"]
    words += ["data=files", "data.path=data", "data.splits.validation=validation", "data.splits.test=test"]
    with Composer() as composer:
        return build(composer.compose([*words, "transfer.baselines=[]"]))


def told(job):
    """What a run says that is begun with these settings: nothing where its rows are good."""
    with pytest.raises(UsageError) as caught:
        prepare(job, Reporter())
    said = str(caught.value)
    return "" if NO_MODEL in said else said


def laid(place, files):
    """The folder `data` anew, with these files."""
    shutil.rmtree(place / "data", ignore_errors=True)
    (place / "data").mkdir()
    for name, content in files.items():
        (place / "data" / name).write_bytes(content)


@pytest.mark.parametrize("head", fuzz.ROWS)
@pytest.mark.parametrize("form", fuzz.FORMATS)
def test_what_is_not_spoilt_is_read(head, form, place):
    if not fuzz.goes(head, form):
        return
    good = fuzz.written(fuzz.ROWS[head], form)
    laid(place, {f"{split}.{form}": good for split in ("train", "validation", "test")})
    assert told(job_of(head)) == ""


def typed(column, form, **more):
    """A file of text and labels, one of whose columns is another."""
    import pyarrow as pa

    columns = {"text": pa.array(["a", "b"] * 2), "label": pa.array(["x", "y"] * 2), **column}
    table = pa.table(list(columns.values()), names=[name.rstrip("2") for name in columns])
    return fuzz.store(table.replace_schema_metadata(more), form)


FOUND = {
    "text that is none": lambda: ("arrow", typed({"text": fuzz.odd_columns()["broken text"]}, "arrow")),
    "a column twice": lambda: ("arrow", typed({"text2": fuzz.odd_columns()["large"]}, "arrow")),
    "a column twice in parquet": lambda: (
        "parquet",
        typed({"text2": fuzz.odd_columns()["large"]}, "parquet"),
    ),
    "features that are none": lambda: ("arrow", typed({}, "arrow", huggingface='{"info": {"features": 3}}')),
    "a list for the features": lambda: ("parquet", typed({}, "parquet", huggingface="[]")),
}
"""What was found once, and would not be by every seed."""


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_in_typed_files(name, place):
    form, content = FOUND[name]()
    laid(place, {f"{split}.{form}": content for split in ("train", "validation", "test")})
    assert f"train.{form}" in told(job_of("classification"))


def test_what_was_found_in_labels_and_names(place):
    rows = [{"tokens": ["a"], "tags": [["O"]]}]
    laid(place, {f"{s}.jsonl": fuzz.written(rows, "jsonl") for s in ("train", "validation", "test")})
    assert "train.jsonl, line 1" in told(job_of("token_classification"))
    job = job_of("classification")
    assert "File name too long" in told(replace(job, data=replace(job.data, path="data/" + "x" * 300)))


@pytest.mark.parametrize("split", ["train", "test"])
@examples(500)
@given(spoilt=fuzz.files())
def test_a_spoilt_file(spoilt, split, place):
    head, form, content = spoilt
    # Damage deep in a binary file can end pyarrow itself; what of it is known has cases of its own.
    assume(form not in ("parquet", "arrow"))
    good = fuzz.written(fuzz.ROWS[head], form)
    names = {name: f"{name}.{form}" for name in ("train", "validation", "test")}
    laid(place, {file: content if name == split else good for name, file in names.items()})
    said = told(job_of(head))
    # Labels are learnt of all training rows, so that no single line is to blame.
    assert not said or any(file in said for file in [*names.values(), "training rows"]), said


@examples(300)
@given(changes=st.lists(fuzz.changes(), min_size=1, max_size=3), path=fuzz.paths())
def test_spoilt_names_and_folders(changes, path, place):
    good = fuzz.written(fuzz.ROWS["classification"], "jsonl")
    laid(place, {f"{split}.jsonl": good for split in ("train", "validation", "test")})
    for change, name, other in changes:
        fuzz.change(place / "data", change, name, other)
    job = job_of("classification")
    said = told(replace(job, data=replace(job.data, path=path)))
    assert not said or "data" in said
