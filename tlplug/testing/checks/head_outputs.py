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
from tlplug.testing.checks.head_data import draws
from tlplug.testing.head_case import HeadCase, HeadOnBase, for_each_kind
from tlplug.testing.tensors import max_difference, seed

STEPS = 20


def new_modules_are_in_head_modules(case: HeadCase) -> None:
    """What the base model's files do not hold lies in head_modules."""
    seen: set[str] = set()
    names = list(case.bound.head_modules)
    for kind, on in case.where.items():
        model = on.model()
        seen |= {name for name, _ in model.named_modules() if name in names}
        if strays := [name for name in newly_initialized(model) if not is_inside(name, names)]:
            raise CheckFailure(
                f"on the kind {kind} {join_names(strays)} is random, and lies in none of head_modules"
            )
    if names and not seen:
        raise CheckFailure(
            f"head_modules is {join_names(names)}, but the models have no module of these names"
        )


@for_each_kind
def loss_is_mean(on: HeadOnBase) -> None:
    """Over `num_items` examples or tokens: two parts of a batch, weighted, give the whole."""
    model = on.model().eval()
    seed(0)
    whole = on.head.training_step(model, on.batch(True))
    if not isinstance(whole, StepOutput) or whole.loss.ndim != 0 or not whole.loss.requires_grad:
        raise CheckFailure("training_step gives no StepOutput with a scalar loss that can be learnt from")
    if not math.isfinite(whole.loss.item()) or not whole.num_items > 0:
        raise CheckFailure(
            f"training_step gives a loss of {whole.loss.item()} over num_items={whole.num_items}"
        )
    if draws(on):
        raise CheckSkipped("its batches are drawn at random")
    cut = max(1, len(on.rows) // 3)
    places = range(cut), range(cut, len(on.rows))
    parts = [on.head.training_step(model, on.batch(True, *part)) for part in places]
    weight = sum(part.num_items for part in parts)
    mean = sum(part.loss.item() * part.num_items for part in parts) / weight
    if not math.isclose(weight, whole.num_items, rel_tol=1e-5) or abs(mean - whole.loss.item()) > 1e-4 * max(
        1.0, abs(mean)
    ):
        raise CheckFailure(
            f"a batch has the loss {whole.loss.item():.5f} over {whole.num_items}, its two parts together "
            f"{mean:.5f} over {weight}: the loss has to be a mean over `num_items`"
        )


@for_each_kind
def loss_decreases(on: HeadOnBase) -> None:
    model, losses = on.model().train(), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for number in range(STEPS):
        seed(number)
        optimizer.zero_grad()
        loss = on.head.training_step(model, on.batch(True)).loss
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    if not fmean(losses[-3:]) < 0.98 * fmean(losses[:3]):
        raise CheckFailure(
            f"after {STEPS} steps on one batch the loss is {losses[-1]:.3f}, at first {losses[0]:.3f}"
        )


@for_each_kind
def predicts_each_row(on: HeadOnBase) -> None:
    """One prediction a row, in order, in JSON types, of rows without targets."""
    model = on.model().eval()
    batch = on.batch(False)
    with torch.inference_mode():
        outputs = on.head.predict(model, batch)
    if [output.get("id") for output in outputs] != batch["id"].tolist():
        raise CheckFailure("predict gives other ids than the batch has, or not in its order")
    plain(outputs, "predict")
    predictions_fit(on.predictions(model), on, "decode")


def predictions_fit(predictions: Any, on: HeadOnBase, told: str) -> None:
    wanted, found = [row["id"] for row in on.rows], [p.get("id") for p in predictions]
    if found != wanted:
        raise CheckFailure(f"{told} gives predictions with the ids {found}; the rows have {wanted}")
    if any("prediction" not in prediction for prediction in predictions):
        raise CheckFailure(f"{told} gives predictions without `prediction`")
    plain(predictions, told)


def plain(value: Any, told: str) -> None:
    try:
        same = json.loads(json.dumps(value)) == value
    except TypeError as error:
        raise CheckFailure(f"what {told} gives is no JSON: {error}; use item() and tolist()") from error
    if not same and "NaN" not in json.dumps(value):
        raise CheckFailure(f"what {told} gives is changed by JSON, such as tuples or keys that are no str")


@for_each_kind
def primary_score_is_mean_of_example_scores(on: HeadOnBase) -> None:
    """The primary score is among them and is the mean of example_scores."""
    scores_fit(on, on.predictions(on.model()), "")


def scores_fit(on: HeadOnBase, predictions: list[dict[str, Any]], whose: str) -> None:
    scores, each = on.head.scores(predictions, on.rows), on.head.example_scores(predictions, on.rows)
    if on.head.primary_score not in scores:
        raise CheckFailure(
            f"scores{whose} has {join_names(scores)} and not the primary score {on.head.primary_score!r}"
        )
    if strange := [name for name, value in scores.items() if not isinstance(value, int | float)]:
        raise CheckFailure(f"scores{whose} gives {join_names(strange)} as something else than a number")
    if len(each) != len(on.rows):
        raise CheckFailure(f"example_scores{whose} gives {len(each)} numbers for {len(on.rows)} rows")
    primary = scores[on.head.primary_score]
    if not math.isclose(fmean(each), primary, rel_tol=1e-4, abs_tol=1e-6):
        raise CheckFailure(
            f"the mean of example_scores{whose} is {fmean(each):.6f}, but {on.head.primary_score} is {primary:.6f}; "
            "where the primary score is no mean over rows, tlplug.jackknife_values shares it out over them"
        )


@for_each_kind
def trivial_predictions_need_no_model(on: HeadOnBase) -> None:
    found = on.head.trivial_predictions(on.rows, on.rows, on.base)
    if found is None:
        raise CheckSkipped("the head has no trivial predictions")
    predictions_fit(found, on, "trivial_predictions")
    scores_fit(on, found, " of trivial's predictions")


@for_each_kind
def predictions_are_independent_of_padding(on: HeadOnBase) -> None:
    """A row is predicted the same alone and among longer ones."""
    model = on.model().eval()
    with torch.inference_mode():
        together = on.head.predict(model, on.batch(False))
        alone = [
            output
            for place in range(len(on.rows))
            for output in on.head.predict(model, on.batch(False, place))
        ]
    far = max_difference(together, alone)
    if far > 1e-3:
        raise CheckFailure(
            f"a row is predicted otherwise (by {far:.2g}) alone than beside longer ones: mask what is padded, "
            "and count positions over real tokens"
        )


@for_each_kind
def single_forward_pass(on: HeadOnBase) -> None:
    """Where it is said, step and predict call the model once, with what is the same each time."""
    if not on.head.single_forward_pass:
        raise CheckSkipped("single_forward_pass is False")
    model, calls = on.model(), []
    model.register_forward_pre_hook(lambda module, given: calls.append(1))
    for training, ask in ((True, on.head.training_step), (False, on.head.predict)):
        calls.clear()
        ask(model, on.batch(training))
        if len(calls) != 1:
            raise CheckFailure(
                f"single_forward_pass is True, but {ask.__name__} calls the model {len(calls)} times"
            )
    if draws(on):
        raise CheckFailure(
            "single_forward_pass is True, but batches of the same rows differ from time to time"
        )


@for_each_kind
def does_not_modify_batch(on: HeadOnBase) -> None:
    model = on.model()
    for training, ask in ((True, on.head.training_step), (False, on.head.predict)):
        batch = on.batch(training)
        before = {name: v.clone() if isinstance(v, torch.Tensor) else v for name, v in batch.items()}
        ask(model, batch)
        touched = set(before) ^ set(batch) or {n for n in before if not alike(before[n], batch[n])}
        if touched:
            raise CheckFailure(f"{ask.__name__} changes {join_names(touched)} of the batch; make a copy")


@for_each_kind
def collate_draws_from_torch(on: HeadOnBase) -> None:
    """Check that a batch depends on torch's generator alone, which is seeded for each batch in any process."""
    seed(0)
    one = on.batch(True)
    seed(1)
    torch.manual_seed(0)
    other = on.batch(True)
    if differing := [n for n, v in one.items() if isinstance(v, torch.Tensor) and not alike(v, other[n])]:
        raise CheckFailure(
            f"collate draws {join_names(differing)} from another generator than torch's, so that batches change with "
            "data.num_workers and after a resume; use torch.rand and the like"
        )


def alike(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


@for_each_kind
def tune_returns_numbers(on: HeadOnBase) -> None:
    """What `tune` finds is plain JSON by name, which a copy of the head decodes with."""
    if not on.head.tunes:
        raise CheckSkipped("tunes is False")
    with torch.inference_mode():
        outputs = on.head.predict(on.model().eval(), on.batch(False))
    found = on.head.tune(outputs, on.rows, on.base)
    if not isinstance(found, dict) or not found:
        raise CheckFailure(f"tune gives {found!r}; it is a dict of values by name")
    plain(found, "tune")
    decoded = on.head.with_state({**on.head.state, **found}).decode(outputs, on.unanswered, on.base)
    predictions_fit(decoded, on, "decode after tune")
