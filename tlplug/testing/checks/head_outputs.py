"""Checks of a head: loss, predictions and scores."""

from __future__ import annotations

import json
import math
from statistics import fmean
from typing import Any

import torch

from tlplug.interfaces import StepOutput
from tlplug.models.layers import is_inside, newly_initialized
from tlplug.testing.check import CheckFailure, CheckSkipped, join_names
from tlplug.testing.head_case import HeadCase, HeadOnBase, for_each_kind
from tlplug.testing.tensors import max_difference, seed

STEPS = 20


def new_modules_are_in_head_modules(case: HeadCase) -> None:
    """Check that head_modules names all modules that the base model's files do not have."""
    present: set[str] = set()
    names = list(case.bound.head_modules)
    for kind, base_case in case.by_kind.items():
        model = base_case.model()
        present |= {name for name, _ in model.named_modules() if name in names}
        if missing := [name for name in newly_initialized(model) if not is_inside(name, names)]:
            raise CheckFailure(
                f"on the kind {kind}, {join_names(missing)} has random weights, but is not in head_modules"
            )
    if names and not present:
        raise CheckFailure(
            f"head_modules is {join_names(names)}, but the models have no modules with these names"
        )


@for_each_kind
def loss_is_mean(base_case: HeadOnBase) -> None:
    """Check that the losses of two parts of a batch, weighted by `num_items`, give the loss of the batch."""
    model = base_case.model().eval()
    seed(0)
    whole = base_case.head.training_step(model, base_case.batch(True))
    if not isinstance(whole, StepOutput) or whole.loss.ndim != 0 or not whole.loss.requires_grad:
        raise CheckFailure("training_step must return a StepOutput with a scalar loss that has a gradient")
    if not math.isfinite(whole.loss.item()) or not whole.num_items > 0:
        raise CheckFailure(
            f"training_step returns a loss of {whole.loss.item()} with num_items={whole.num_items}"
        )
    if base_case.draws_at_random():
        raise CheckSkipped("its batches are random")
    cut = max(1, len(base_case.rows) // 3)
    places = range(cut), range(cut, len(base_case.rows))
    parts = [base_case.head.training_step(model, base_case.batch(True, *part)) for part in places]
    weight = sum(part.num_items for part in parts)
    mean = sum(part.loss.item() * part.num_items for part in parts) / weight
    if not math.isclose(weight, whole.num_items, rel_tol=1e-5) or abs(mean - whole.loss.item()) > 1e-4 * max(
        1.0, abs(mean)
    ):
        raise CheckFailure(
            f"the loss of a batch is {whole.loss.item():.5f} with num_items={whole.num_items}, but that of its two parts "
            f"together {mean:.5f} with num_items={weight}: the loss must be a mean over `num_items`"
        )


@for_each_kind
def loss_decreases(base_case: HeadOnBase) -> None:
    """Check that the loss decreases in 20 steps on one batch."""
    model, losses = base_case.model().train(), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for number in range(STEPS):
        seed(number)
        optimizer.zero_grad()
        loss = base_case.head.training_step(model, base_case.batch(True)).loss
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    if not fmean(losses[-3:]) < 0.98 * fmean(losses[:3]):
        raise CheckFailure(
            f"the loss is {losses[0]:.3f} at first and {losses[-1]:.3f} after {STEPS} steps on one batch: it must decrease"
        )


@for_each_kind
def predicts_each_row(base_case: HeadOnBase) -> None:
    """Check that each row without targets has one prediction, in row order and of JSON types."""
    model = base_case.model().eval()
    batch = base_case.batch(False)
    with torch.inference_mode():
        outputs = base_case.head.predict(model, batch)
    if [output.get("id") for output in outputs] != batch["id"].tolist():
        raise CheckFailure("predict returns other ids than those of the batch, or another order")
    _require_json(outputs, "predict")
    _check_predictions(base_case.predictions(model), base_case, "decode")


def _check_predictions(predictions: Any, base_case: HeadOnBase, call: str) -> None:
    expected, ids = [row["id"] for row in base_case.rows], [p.get("id") for p in predictions]
    if ids != expected:
        raise CheckFailure(f"{call} returns predictions with the ids {ids}; the rows have {expected}")
    if any("prediction" not in prediction for prediction in predictions):
        raise CheckFailure(f"{call} returns predictions without `prediction`")
    _require_json(predictions, call)


def _require_json(value: Any, call: str) -> None:
    try:
        same = json.loads(json.dumps(value)) == value
    except TypeError as error:
        raise CheckFailure(
            f"{call} returns values that are not JSON: {error}; use item() and tolist()"
        ) from error
    if not same and "NaN" not in json.dumps(value):
        raise CheckFailure(f"{call} returns values that JSON changes, such as tuples or keys other than str")


@for_each_kind
def primary_score_is_mean_of_example_scores(base_case: HeadOnBase) -> None:
    """Check that the primary score is the mean of `example_scores`."""
    _check_scores(base_case, base_case.predictions(base_case.model()), "")


def _check_scores(base_case: HeadOnBase, predictions: list[dict[str, Any]], whose: str) -> None:
    scores = base_case.head.scores(predictions, base_case.rows)
    each = base_case.head.example_scores(predictions, base_case.rows)
    if base_case.head.primary_score not in scores:
        raise CheckFailure(
            f"scores{whose} returns {join_names(scores)}, but not the primary score {base_case.head.primary_score!r}"
        )
    if unknown := [name for name, value in scores.items() if not isinstance(value, int | float)]:
        raise CheckFailure(f"scores{whose} returns {join_names(unknown)}, which is not a number")
    if len(each) != len(base_case.rows):
        raise CheckFailure(
            f"example_scores{whose} returns {len(each)} numbers for {len(base_case.rows)} rows"
        )
    primary = scores[base_case.head.primary_score]
    if not math.isclose(fmean(each), primary, rel_tol=1e-4, abs_tol=1e-6):
        raise CheckFailure(
            f"the mean of example_scores{whose} is {fmean(each):.6f}, but {base_case.head.primary_score} is {primary:.6f}; "
            "if the primary score is not a mean over rows, use tlplug.jackknife_values"
        )


@for_each_kind
def trivial_predictions_need_no_model(base_case: HeadOnBase) -> None:
    """Check that `trivial_predictions` returns valid predictions or None."""
    predictions = base_case.head.trivial_predictions(base_case.rows, base_case.rows, base_case.base)
    if predictions is None:
        raise CheckSkipped("the head has no trivial predictions")
    _check_predictions(predictions, base_case, "trivial_predictions")
    _check_scores(base_case, predictions, " for the trivial predictions")


@for_each_kind
def predictions_are_independent_of_padding(base_case: HeadOnBase) -> None:
    """Check that the prediction for a row does not depend on the other rows of its batch."""
    model = base_case.model().eval()
    with torch.inference_mode():
        together = base_case.head.predict(model, base_case.batch(False))
        alone = [
            output
            for place in range(len(base_case.rows))
            for output in base_case.head.predict(model, base_case.batch(False, place))
        ]
    deviation = max_difference(together, alone)
    if deviation > 1e-3:
        raise CheckFailure(
            f"the prediction for a row differs (by {deviation:.2g}) when it is in a batch with longer rows: mask the "
            "padding, and count positions over real tokens"
        )


@for_each_kind
def single_forward_pass(base_case: HeadOnBase) -> None:
    """Check that a head with `single_forward_pass` calls the model once a step, with the same inputs each time."""
    if not base_case.head.single_forward_pass:
        raise CheckSkipped("single_forward_pass is False")
    model, calls = base_case.model(), []
    model.register_forward_pre_hook(lambda module, inputs: calls.append(1))
    for training, method in ((True, base_case.head.training_step), (False, base_case.head.predict)):
        calls.clear()
        method(model, base_case.batch(training))
        if len(calls) != 1:
            raise CheckFailure(
                f"single_forward_pass is True, but {method.__name__} calls the model {len(calls)} times"
            )
    if base_case.draws_at_random():
        raise CheckFailure("single_forward_pass is True, but two batches of the same rows differ")


@for_each_kind
def does_not_modify_batch(base_case: HeadOnBase) -> None:
    """Check that `training_step` and `predict` do not modify the batch."""
    model = base_case.model()
    for training, method in ((True, base_case.head.training_step), (False, base_case.head.predict)):
        batch = base_case.batch(training)
        before = {name: v.clone() if isinstance(v, torch.Tensor) else v for name, v in batch.items()}
        method(model, batch)
        modified = set(before) ^ set(batch) or {n for n in before if not _is_equal(before[n], batch[n])}
        if modified:
            raise CheckFailure(f"{method.__name__} modifies {join_names(modified)} of the batch; make a copy")


@for_each_kind
def collate_draws_from_torch(base_case: HeadOnBase) -> None:
    """Check that `collate` draws random numbers from torch's generator only."""
    seed(0)
    one = base_case.batch(True)
    seed(1)
    torch.manual_seed(0)
    other = base_case.batch(True)
    if differing := [n for n, v in one.items() if isinstance(v, torch.Tensor) and not _is_equal(v, other[n])]:
        raise CheckFailure(
            f"collate draws {join_names(differing)} from another generator than torch's, which is the only one that is "
            "seeded for each batch; use functions such as torch.rand"
        )


def _is_equal(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


@for_each_kind
def tune_returns_numbers(base_case: HeadOnBase) -> None:
    """Check that `tune` returns a dict of JSON values, with which a copy of the head decodes."""
    if not base_case.head.tunes:
        raise CheckSkipped("tunes is False")
    with torch.inference_mode():
        outputs = base_case.head.predict(base_case.model().eval(), base_case.batch(False))
    head = base_case.head
    values = head.tune(outputs, base_case.rows, base_case.base)
    if not isinstance(values, dict) or not values:
        raise CheckFailure(f"tune returns {values!r}; it must return a dict of values by name")
    _require_json(values, "tune")
    tuned = head.with_state({**head.state, **values})
    decoded = tuned.decode(outputs, base_case.without_targets, base_case.base)
    _check_predictions(decoded, base_case, "decode after tune")
