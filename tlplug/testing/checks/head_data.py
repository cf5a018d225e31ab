"""Checks of a head: columns, labels, features and batches. No weights are needed."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tlplug.errors import UsageError
from tlplug.interfaces import Batch, TaskHead
from tlplug.runtime.cache import canonical_bytes
from tlplug.testing import tiny_models as tiny
from tlplug.testing.check import CheckFailure, CheckSkipped, join_names
from tlplug.testing.head_case import HeadCase, HeadOnBase, for_each_kind

SHORT = 40
"""The maximum length, in tokens, for the check of truncation."""


def columns_are_consistent(case: HeadCase) -> None:
    head = case.bound
    if not head.columns or not all(isinstance(meaning, str) and meaning for meaning in head.columns.values()):
        raise CheckFailure("columns is {name: what it means}, with a meaning for each")
    if both := set(head.columns) & set(head.optional_columns):
        raise CheckFailure(f"{join_names(both)} is both in columns and in optional_columns")
    if unknown := set(head.targets) - set(head.columns) - set(head.optional_columns):
        raise CheckFailure(f"targets names {join_names(unknown)}, which is none of its columns")
    if "id" in {*head.columns, *head.optional_columns}:
        raise CheckFailure("a column is named id, which every row has already: its position")
    for row in case.rows:
        if missing := set(head.columns) - set(row):
            raise CheckFailure(f"the rows that were given have no column {join_names(missing)}")
        if message := head.row_error(row, with_targets=True):
            raise CheckFailure(f"it has something against a row that was given: {message}")


def rejects_invalid_rows(case: HeadCase) -> None:
    """Check that `row_error` names a column that holds None."""
    head, good = case.bound, case.rows[0]
    for column in head.columns:
        message = get_row_error(head, {**good, column: None})
        if message is None:
            raise CheckFailure(f"a row whose {column!r} is None passes row_error, and fails later")
        if f"'{column}'" not in message:
            raise CheckFailure(
                f"what is told of a wrong {column!r} does not name the column in quotes: {message!r}"
            )
    (without_targets,) = HeadOnBase(head, tiny.base("encoder"), [good]).without_targets
    if head.targets and (message := head.row_error(without_targets, with_targets=False)):
        raise CheckFailure(f"row_error refuses a row without targets, which can be predicted: {message}")


def get_row_error(head: Any, row: dict[str, Any]) -> str | None:
    try:
        return head.row_error(row, with_targets=True)  # type: ignore[no-any-return]
    except Exception as error:
        raise CheckFailure(
            f"a row with None in a column makes row_error raise {type(error).__name__}: {error}; "
            "the user has to be told in words"
        ) from error


def binding_makes_a_copy(case: HeadCase) -> None:
    """Check that `fit` returns plain JSON with texts as labels, and does not change the head."""
    head = case.head()
    state = head.fit(case.rows)
    if not isinstance(state, dict) or not is_json(state):
        raise CheckFailure(f"fit gives {state!r}; it is a dict of plain JSON")
    labels = state.get("labels", [])
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise CheckFailure(f"fit gives the labels {labels!r}; it is a list of str")
    if len(set(labels)) < len(labels):
        raise CheckFailure(f"fit gives a label twice: {join_names(labels)}")
    if head.state:
        raise CheckFailure("fit changes the head itself; it has to return what it learns")
    if head.fit(case.rows) != state:
        raise CheckFailure("fit gives something else the second time")


def is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except TypeError:
        return False


def works_on_some_base_model(case: HeadCase) -> None:
    for kind, base in case.bases.items():
        reason = case.bound.why_incompatible(base)
        if reason is not None and (not isinstance(reason, str) or len(reason.split()) < 3):
            raise CheckFailure(
                f"why_incompatible gives {reason!r} for the kind {kind}; it is None or a sentence"
            )
    if not case.by_kind:
        raise CheckFailure(
            "why_incompatible refuses every kind of base model; one that reads no texts is given as base=..."
        )


@for_each_kind
def encodes_rows(base_case: HeadOnBase) -> None:
    """Check that `encode` works, which all later checks need."""
    base_case.head.encode(base_case.rows, base_case.base, True)
    base_case.head.encode(base_case.without_targets, base_case.base, False)


@for_each_kind
def features_are_serializable(base_case: HeadOnBase) -> None:
    """Check features: JSON types or numpy arrays, equal keys, ids in the order of the rows, determinism."""
    for training, rows in ((True, base_case.rows), (False, base_case.without_targets)):
        features = base_case.head.encode(rows, base_case.base, training)
        call = f"encode(training={training})"
        lists = [{n: v for n, v in each.items() if not isinstance(v, np.ndarray)} for each in features]
        try:
            same = json.loads(json.dumps(lists)) == lists
        except TypeError as error:
            raise CheckFailure(
                f"{call} gives features that are neither JSON types nor numpy arrays: {error}"
            ) from error
        if not same:
            raise CheckFailure(
                f"{call} gives features that JSON changes, such as tuples or keys that are no str"
            )
        if len({frozenset(feature) for feature in features}) > 1:
            raise CheckFailure(f"{call} gives features of different keys")
        if missing := {"id", *(["input_ids"] if base_case.base.has_tokenizer else [])} - set(features[0]):
            raise CheckFailure(f"{call} gives features without {join_names(missing)}")
        wanted = [row["id"] for row in rows]
        seen_ids = list(dict.fromkeys(feature["id"] for feature in features))
        if seen_ids != wanted and (not training or not set(seen_ids) <= set(wanted)):
            raise CheckFailure(f"{call} gives features with the ids {seen_ids}; the rows have {wanted}")
        if not equal(base_case.head.encode(rows, base_case.base, training), features):
            raise CheckFailure(
                f"{call} gives other features the second time; draw in collate or training_step"
            )
        check_parts(features, call)


def equal(one: Any, other: Any) -> bool:
    """Return whether rows or features are the same, arrays in them too."""
    return canonical_bytes(one) == canonical_bytes(other)


def check_parts(features: list[dict[str, Any]], call: str) -> None:
    seen_ids: dict[int, int] = {}
    for feature in features:
        number = seen_ids[feature["id"]] = seen_ids.get(feature["id"], -1) + 1
        if number and "part" not in feature:
            raise CheckFailure(
                f"{call} gives several features for a row, without the `part` that tells them apart"
            )


@for_each_kind
def encoding_is_independent_of_other_rows(base_case: HeadOnBase) -> None:
    """Check that a row is encoded in the same way alone and in a batch of rows."""
    together = base_case.head.encode(base_case.without_targets, base_case.base, False)
    alone = [
        f for row in base_case.without_targets for f in base_case.head.encode([row], base_case.base, False)
    ]
    if not equal(together, alone):
        raise CheckFailure("a row is encoded otherwise when it is alone; pad in collate, not in encode")


@for_each_kind
def inputs_respect_max_length(base_case: HeadOnBase) -> None:
    if base_case.base.max_length is None:
        raise CheckSkipped("the base model reads no tokens, so nothing is cut")
    base = replace(base_case.base, max_length=SHORT)
    if base_case.head.why_incompatible(base) is not None:
        raise CheckSkipped(f"why_incompatible refuses base models that take {SHORT} tokens")
    for training, rows in ((True, base_case.rows), (False, base_case.without_targets)):
        try:
            longest = max(
                len(feature["input_ids"]) for feature in base_case.head.encode(rows, base, training)
            )
        except UsageError as refused:
            raise CheckSkipped(str(refused)) from refused
        if longest > SHORT:
            raise CheckFailure(
                f"encode gives {longest} tokens where base.max_length is {SHORT}; cut, or make windows"
            )


@for_each_kind
def batches_are_padded(base_case: HeadOnBase) -> None:
    """Check `id` [B], for texts `input_ids` and `attention_mask` [B, T], and a mask with a 1 for each real position."""
    for training, rows in ((True, base_case.rows), (False, base_case.without_targets)):
        features = base_case.head.encode(rows, base_case.base, training)
        batch = base_case.head.collate(features, base_case.base)
        needed = {"id", *(["input_ids", "attention_mask"] if base_case.base.has_tokenizer else [])}
        if missing := needed - set(batch):
            raise CheckFailure(f"collate gives a batch without {join_names(missing)}")
        if base_case.base.has_tokenizer:
            check_padding(batch, features)
        check_counts(base_case.head, batch, features)
        if not training and batch["id"].tolist() != [f["id"] for f in features]:
            raise CheckFailure("collate changes the order or the number of features that are to be predicted")


def check_padding(batch: Batch, features: list[dict[str, Any]]) -> None:
    ids, mask = batch["input_ids"], batch["attention_mask"]
    if ids.ndim != 2 or ids.shape != mask.shape:
        raise CheckFailure(
            f"input_ids is {list(ids.shape)} and attention_mask {list(mask.shape)}; both are [B, T]"
        )
    real = sum(len(feature["input_ids"]) for feature in features)
    if int(mask.sum()) != real:
        raise CheckFailure(f"attention_mask has {int(mask.sum())} ones for {real} tokens")


def check_counts(head: TaskHead, batch: Batch, features: list[dict[str, Any]]) -> None:
    """Check that each input, and the mask if there is one, has as many rows as the batch has ids."""
    count, inputs = len(batch["id"]), head.model_inputs(batch)
    if not inputs:
        raise CheckFailure("model_inputs gives nothing of a batch that goes into the model; define it")
    if other := [name for name, value in inputs.items() if len(value) != count]:
        raise CheckFailure(f"a batch has {count} ids, but another number of rows in {join_names(other)}")
    mask = head.mask(batch)
    if mask is None:
        return
    real = sum(head.length(feature) for feature in features)
    if mask.ndim != 2 or len(mask) != count or int(mask.sum()) != real:
        raise CheckFailure(
            f"mask gives {list(mask.shape)} with {int(mask.sum())} ones; it is [B, T] with a 1 for each position, "
            f"{real} as length counts them"
        )


@for_each_kind
def does_not_modify_rows(base_case: HeadOnBase) -> None:
    """Check that `encode` does not change rows and `collate` does not change features."""
    rows, features = (
        copy.deepcopy(base_case.rows),
        base_case.head.encode(base_case.rows, base_case.base, True),
    )
    if not equal(rows, base_case.rows):
        raise CheckFailure("encode changes the rows; make a copy")
    before = copy.deepcopy(features)
    base_case.head.collate(features, base_case.base)
    if not equal(features, before):
        raise CheckFailure("collate changes the features, which are used in every epoch; make a copy")


def draws_at_random(base_case: HeadOnBase) -> bool:
    """Return whether training batches of the same rows differ."""
    one, other = base_case.batch(True), base_case.batch(True)
    return any(
        isinstance(one[name], torch.Tensor)
        and (one[name].shape != other[name].shape or not torch.equal(one[name], other[name]))
        for name in one
    )
