"""Checks of a head: columns, labels, features and batches. No weights are needed."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np

from tlplug.errors import UsageError
from tlplug.interfaces import Batch, TaskHead
from tlplug.runtime.cache import canonical_bytes
from tlplug.testing import tiny_models as tiny
from tlplug.testing.check import CheckFailure, CheckSkipped, join_names
from tlplug.testing.head_case import HeadCase, HeadOnBase, for_each_kind

SHORT = 40
"""The maximum length, in tokens, for the check of truncation."""


def columns_are_consistent(case: HeadCase) -> None:
    """Check that columns, optional_columns and targets are consistent, and that `row_error` accepts the rows."""
    head = case.bound
    if not head.columns or not all(isinstance(meaning, str) and meaning for meaning in head.columns.values()):
        raise CheckFailure("columns must be a dict of each column's name and its meaning")
    if both := set(head.columns) & set(head.optional_columns):
        raise CheckFailure(f"{join_names(both)} is both in columns and in optional_columns")
    if unknown := set(head.targets) - set(head.columns) - set(head.optional_columns):
        raise CheckFailure(f"targets names {join_names(unknown)}, which is not a column")
    if "id" in {*head.columns, *head.optional_columns}:
        raise CheckFailure("a column is named id, which is reserved for the position of a row")
    for row in case.rows:
        if missing := set(head.columns) - set(row):
            raise CheckFailure(f"the rows have no column {join_names(missing)}")
        if message := head.row_error(row, with_targets=True):
            raise CheckFailure(f"row_error rejects a row: {message}")


def rejects_invalid_rows(case: HeadCase) -> None:
    """Check that `row_error` rejects a row with None in a column, and names the column."""
    head, good = case.bound, case.rows[0]
    for column in head.columns:
        message = _get_row_error(head, {**good, column: None})
        if message is None:
            raise CheckFailure(f"row_error accepts a row whose {column!r} is None")
        if f"'{column}'" not in message:
            raise CheckFailure(
                f"the message of row_error for an invalid {column!r} does not have the column's name in quotes: {message!r}"
            )
    (without_targets,) = HeadOnBase(head, tiny.base("encoder"), [good]).without_targets
    if head.targets and (message := head.row_error(without_targets, with_targets=False)):
        raise CheckFailure(f"row_error with with_targets=False rejects a row without targets: {message}")


def _get_row_error(head: Any, row: dict[str, Any]) -> str | None:
    try:
        return head.row_error(row, with_targets=True)  # type: ignore[no-any-return]
    except Exception as error:
        raise CheckFailure(
            f"row_error raises {type(error).__name__} for a row with None in a column: {error}; return a message instead"
        ) from error


def binding_makes_a_copy(case: HeadCase) -> None:
    """Check that `fit` returns JSON values with str labels, and does not modify the head."""
    head = case.head()
    state = head.fit(case.rows)
    if not isinstance(state, dict) or not _is_json(state):
        raise CheckFailure(f"fit returns {state!r}; it must return a dict of JSON values")
    labels = state.get("labels", [])
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise CheckFailure(f"fit returns the labels {labels!r}; they must be a list of str")
    if len(set(labels)) < len(labels):
        raise CheckFailure(f"fit returns a label twice: {join_names(labels)}")
    if head.state:
        raise CheckFailure("fit modifies the head; return the state instead")
    if head.fit(case.rows) != state:
        raise CheckFailure("two calls of fit return different states")


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except TypeError:
        return False


def works_on_some_base_model(case: HeadCase) -> None:
    """Check that the head supports a base model, and that why_incompatible gives a reason for the others."""
    for kind, base in case.bases.items():
        reason = case.bound.why_incompatible(base)
        if reason is not None and (not isinstance(reason, str) or len(reason.split()) < 3):
            raise CheckFailure(
                f"why_incompatible returns {reason!r} for the kind {kind}; it must return None or a sentence"
            )
    if not case.by_kind:
        raise CheckFailure(
            "why_incompatible rejects every kind of base model; pass a base model that reads other inputs than texts as "
            "base=..."
        )


@for_each_kind
def encodes_rows(base_case: HeadOnBase) -> None:
    """Check that `encode` works with and without targets."""
    base_case.head.encode(base_case.rows, base_case.base, True)
    base_case.head.encode(base_case.without_targets, base_case.base, False)


@for_each_kind
def features_are_serializable(base_case: HeadOnBase) -> None:
    """Check that `encode` returns the same features each time, of JSON types or numpy arrays, with ids in row order."""
    for training, rows in ((True, base_case.rows), (False, base_case.without_targets)):
        features = base_case.head.encode(rows, base_case.base, training)
        call = f"encode(training={training})"
        lists = [{n: v for n, v in each.items() if not isinstance(v, np.ndarray)} for each in features]
        try:
            same = json.loads(json.dumps(lists)) == lists
        except TypeError as error:
            raise CheckFailure(
                f"{call} returns features that are neither JSON types nor numpy arrays: {error}"
            ) from error
        if not same:
            raise CheckFailure(
                f"{call} returns features that JSON changes, such as tuples or keys other than str"
            )
        if len({frozenset(feature) for feature in features}) > 1:
            raise CheckFailure(f"{call} returns features with different keys")
        if missing := {"id", *(["input_ids"] if base_case.base.has_tokenizer else [])} - set(features[0]):
            raise CheckFailure(f"{call} returns features without {join_names(missing)}")
        expected = [row["id"] for row in rows]
        seen_ids = list(dict.fromkeys(feature["id"] for feature in features))
        if seen_ids != expected and (not training or not set(seen_ids) <= set(expected)):
            raise CheckFailure(f"{call} returns features with the ids {seen_ids}; the rows have {expected}")
        if not _equal(base_case.head.encode(rows, base_case.base, training), features):
            raise CheckFailure(
                f"two calls of {call} return different features; draw random numbers in collate or training_step"
            )
        _check_parts(features, call)


def _equal(one: Any, other: Any) -> bool:
    """Return whether rows or features are equal, including arrays."""
    return canonical_bytes(one) == canonical_bytes(other)


def _check_parts(features: list[dict[str, Any]], call: str) -> None:
    seen_ids: dict[int, int] = {}
    for feature in features:
        number = seen_ids[feature["id"]] = seen_ids.get(feature["id"], -1) + 1
        if number and "part" not in feature:
            raise CheckFailure(f"{call} returns several features for a row without `part`")


@for_each_kind
def encoding_is_independent_of_other_rows(base_case: HeadOnBase) -> None:
    """Check that a row is encoded in the same way alone and in a batch of rows."""
    together = base_case.head.encode(base_case.without_targets, base_case.base, False)
    alone = [
        f for row in base_case.without_targets for f in base_case.head.encode([row], base_case.base, False)
    ]
    if not _equal(together, alone):
        raise CheckFailure(
            "the features of a row change when it is encoded alone; pad in collate, not in encode"
        )


@for_each_kind
def inputs_respect_max_length(base_case: HeadOnBase) -> None:
    """Check that features have at most `base.max_length` tokens."""
    if base_case.base.max_length is None:
        raise CheckSkipped("the base model has no max_length")
    base = replace(base_case.base, max_length=SHORT)
    if base_case.head.why_incompatible(base) is not None:
        raise CheckSkipped(f"why_incompatible rejects base models with max_length={SHORT}")
    for training, rows in ((True, base_case.rows), (False, base_case.without_targets)):
        try:
            longest = max(
                len(feature["input_ids"]) for feature in base_case.head.encode(rows, base, training)
            )
        except UsageError as refused:
            raise CheckSkipped(str(refused)) from refused
        if longest > SHORT:
            raise CheckFailure(
                f"encode returns {longest} tokens, but base.max_length is {SHORT}; truncate, or split into windows"
            )


@for_each_kind
def batches_are_padded(base_case: HeadOnBase) -> None:
    """Check that `collate` returns ids, padded inputs of equal length and a mask of the real positions."""
    for training, rows in ((True, base_case.rows), (False, base_case.without_targets)):
        features = base_case.head.encode(rows, base_case.base, training)
        batch = base_case.head.collate(features, base_case.base)
        needed = {"id", *(["input_ids", "attention_mask"] if base_case.base.has_tokenizer else [])}
        if missing := needed - set(batch):
            raise CheckFailure(f"collate returns a batch without {join_names(missing)}")
        if base_case.base.has_tokenizer:
            _check_padding(batch, features)
        _check_counts(base_case.head, batch, features)
        if not training and batch["id"].tolist() != [f["id"] for f in features]:
            raise CheckFailure("collate changes the order or the number of features to predict")


def _check_padding(batch: Batch, features: list[dict[str, Any]]) -> None:
    ids, mask = batch["input_ids"], batch["attention_mask"]
    if ids.ndim != 2 or ids.shape != mask.shape:
        raise CheckFailure(
            f"input_ids is {list(ids.shape)} and attention_mask {list(mask.shape)}; both must be [B, T]"
        )
    real = sum(len(feature["input_ids"]) for feature in features)
    if int(mask.sum()) != real:
        raise CheckFailure(f"attention_mask has {int(mask.sum())} ones for {real} tokens")


def _check_counts(head: TaskHead, batch: Batch, features: list[dict[str, Any]]) -> None:
    """Check that each input, and the mask if there is one, has as many rows as the batch has ids."""
    count, inputs = len(batch["id"]), head.model_inputs(batch)
    if not inputs:
        raise CheckFailure("model_inputs returns no input of the batch; define it")
    if other := [name for name, value in inputs.items() if len(value) != count]:
        raise CheckFailure(f"a batch has {count} ids, but {join_names(other)} has another number of rows")
    mask = head.mask(batch)
    if mask is None:
        return
    real = sum(head.length(feature) for feature in features)
    if mask.ndim != 2 or len(mask) != count or int(mask.sum()) != real:
        raise CheckFailure(
            f"mask returns a tensor {list(mask.shape)} with {int(mask.sum())} ones; it must be [B, T] with {real} ones, "
            "the sum of length over the features"
        )


@for_each_kind
def does_not_modify_rows(base_case: HeadOnBase) -> None:
    """Check that `encode` does not modify rows and `collate` does not modify features."""
    rows, features = (
        copy.deepcopy(base_case.rows),
        base_case.head.encode(base_case.rows, base_case.base, True),
    )
    if not _equal(rows, base_case.rows):
        raise CheckFailure("encode modifies the rows; make a copy")
    before = copy.deepcopy(features)
    base_case.head.collate(features, base_case.base)
    if not _equal(features, before):
        raise CheckFailure("collate modifies the features, which are used in every epoch; make a copy")
