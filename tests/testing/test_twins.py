"""Each check finds the plugin that is broken in its way; sound ones pass them all."""

from unittest import SkipTest

import pytest

from tests.testing import head_twins, heavy, metric_twins, sound, strategy_twins
from tlplug.testing import (
    CheckFailure,
    check_head,
    check_metric,
    check_strategy,
    head_checks,
    metric_checks,
    strategy_checks,
)
from tlplug.testing.check import PASSED, SKIPPED, results


def too_heavy(plugin):
    return "imports_nothing_heavy", plugin, "imports torch"


KINDS = {
    "strategy": (
        strategy_checks(),
        [*strategy_twins.TWINS, too_heavy(heavy.HeavyStrategy)],
        check_strategy,
        sound.SoundStrategy,
    ),
    "head": (head_checks(), [*head_twins.TWINS, too_heavy(heavy.HeavyHead)], check_head, sound.SoundHead),
    "metric": (
        metric_checks(),
        [*metric_twins.TWINS, too_heavy(heavy.HeavyMetric)],
        check_metric,
        sound.SoundMetric,
    ),
}
CASES = [
    pytest.param(
        check,
        twin,
        message,
        id=f"{kind}-{check}-{twin.__name__}",
        marks=[pytest.mark.slow] if check.slow else [],
    )
    for kind, (checks, twins, *_) in KINDS.items()
    for name, twin, message in twins
    for check in checks
    if check.name == name
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_check_has_a_broken_twin(kind):
    checks, twins, *_ = KINDS[kind]
    assert {name for name, *_ in twins} == {check.name for check in checks}
    assert len({check.name for check in checks}) == len(checks)


@pytest.mark.parametrize(("check", "twin", "message"), CASES)
def test_the_twin_is_caught_by_that_check(check, twin, message):
    with pytest.raises(CheckFailure) as fault:
        check(twin, **metric_twins.GIVEN.get(twin, {}))
    assert str(fault.value).startswith(f"{twin.__name__}: {check}: ")
    assert message in str(fault.value)


@pytest.mark.parametrize(
    "plugin",
    [sound.SoundStrategy, strategy_twins.OnBert, sound.SoundHead, sound.SoundMetric],
    ids=lambda plugin: plugin.__name__,
)
def test_what_is_sound_passes(plugin):
    kind = next(kind for kind, (*_, own) in KINDS.items() if issubclass(plugin, own))
    checks = [check for check in KINDS[kind][0] if not check.slow]
    found = [result for result in results(checks, plugin) if result.outcome != PASSED]
    assert {result.outcome for result in found} <= {SKIPPED}, "\n".join(map(str, found))


@pytest.mark.slow
def test_what_is_sound_passes_in_several_processes_too():
    check_strategy(sound.SoundStrategy)


def test_all_faults_are_told_at_once_with_their_checks():
    class Bad(metric_twins.Sorts):
        contract = 1

    with pytest.raises(AssertionError) as error:
        check_metric(Bad)
    text = str(error.value)
    assert text.startswith("Bad fails 2 of 13 checks:")
    assert "has_docstring: the class has no docstring" in text
    assert "does_not_modify_evidence: measure modifies 'example_scores/after'" in text


def test_nothing_goes_on_after_a_check_that_the_others_need():
    with pytest.raises(
        AssertionError, match="The other 12 checks were not run, because they require this one"
    ):
        check_metric(metric_twins.OtherContract)


def test_a_head_that_cannot_encode_is_told_once_and_the_checks_that_need_it_are_skipped():
    outcomes = {}
    for check in head_checks():
        try:
            check(head_twins.ReadsOther)
        except CheckFailure as fault:
            outcomes[check.name] = str(fault)
        except SkipTest as reason:
            outcomes[check.name] = str(reason)
    names = [check.name for check in head_checks()]
    after = names[names.index("encodes_rows") + 1 :]
    assert "its columns are text, label. Did you mean 'text'?" in outcomes.pop("encodes_rows")
    assert outcomes == dict.fromkeys(after, "requires encodes_rows, which failed")
    with pytest.raises(AssertionError, match="ReadsOther fails 1 of 27 checks") as error:
        check_head(head_twins.ReadsOther)
    assert f"The other {len(after)} checks were not run, because they require this one." in str(error.value)


def test_what_failed_once_is_tried_again_by_itself(monkeypatch):
    checks = {check.name: check for check in head_checks()}
    with pytest.raises(CheckFailure):
        checks["encodes_rows"](head_twins.ReadsOther)
    with pytest.raises(SkipTest, match="encodes_rows"):
        checks["does_not_modify_rows"](head_twins.ReadsOther)
    monkeypatch.delattr(head_twins.ReadsOther, "encode")
    checks["encodes_rows"](head_twins.ReadsOther)
    checks["does_not_modify_rows"](head_twins.ReadsOther)


def test_what_does_not_apply_is_skipped_with_a_reason():
    (check,) = (check for check in strategy_checks() if check.name == "frozen_prefix_is_frozen")
    with pytest.raises(BaseException, match="frozen_prefix returns None") as skipped:
        check(sound.SoundStrategy)
    assert skipped.typename == "CheckSkipped"
