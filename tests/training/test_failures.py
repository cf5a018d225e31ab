"""What a training says that cannot go on."""

import traceback
from dataclasses import dataclass, replace

import pytest
import torch
from lightning.pytorch import Callback

from tests.training.sample_tasks import QUICK, prepare, strategy
from tlplug import OptimizerSettings, Strategy
from tlplug.errors import TrainingFailed, UsageError
from tlplug.interfaces import StepOutput
from tlplug.interfaces.registry import Registry
from tlplug.training.fit import TrainingHooks, adapt
from tlplug.training.nonfinite import broken_weight, format_ids
from tlplug.training.out_of_memory import CurrentBatch, explain_out_of_memory, is_about_memory, remedies
from tlplug.training.plugin_errors import name_plugin_in_errors


class Spoilt(Strategy):
    """Moves everything, and makes what a test asks for of the third step."""

    contract = 1
    optimizer_defaults = OptimizerSettings(1e-3, 0.0, "linear", 0.0)

    @dataclass
    class Config:
        loss: float = float("nan")
        gradient: float = 1.0
        raises: str = ""

    steps = 0

    def adapt(self, model, context):
        return model

    def training_step(self, model, head, batches):
        self.steps += 1
        self.ids = batches["main"]["id"].tolist()
        output = head.training_step(model, batches["main"])
        if self.steps != 3:
            return output
        self.third = self.ids
        if self.config.raises:
            raise RuntimeError(self.config.raises)
        if self.config.gradient != 1.0:
            output.loss.register_hook(lambda gradient: gradient * self.config.gradient)
            return output
        return StepOutput(output.loss * self.config.loss, output.num_items)


class Saves(Callback):
    """Writes a checkpoint after each step, after all other callbacks have been called."""

    def __init__(self, folder):
        self.folder = folder
        self.kept = []

    def on_train_batch_end(self, trainer, *given):
        path = self.folder / f"{trainer.global_step}.ckpt"
        trainer.save_checkpoint(path)
        self.kept.append(path)


def failing(task, *callbacks, **fields):
    plugin = Spoilt(Spoilt.Config(**fields))
    with pytest.raises(TrainingFailed) as caught:
        adapt(task, plugin, OptimizerSettings(), TrainingHooks(callbacks=callbacks))
    return str(caught.value), plugin


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_no_number_ends_the_fit_with_its_step_and_rows(tiny_base, value):
    told, plugin = failing(prepare(tiny_base, batch_size=4), loss=value)
    assert f"the loss is {value} in step 3 of 6 (epoch 1, batch 3)" in told
    assert f"ids {', '.join(map(str, plugin.third))}." in told and plugin.steps <= 4


def test_steps_count_accumulated_batches_together(tiny_base):
    trainer = replace(QUICK, accumulate_grad_batches=2)
    assert (
        "in step 2 of 3 (epoch 1, batch 3)" in failing(prepare(tiny_base, trainer=trainer, batch_size=4))[0]
    )


def test_the_last_batch_of_a_fit_is_looked_at(tiny_base):
    told, plugin = failing(prepare(tiny_base, batch_size=8))
    assert plugin.steps == 3 and "in step 3 of 3" in told


def test_no_checkpoint_is_written_after_it_and_those_before_are_good(tiny_base, tmp_path):
    saves = Saves(tmp_path)
    failing(prepare(tiny_base, batch_size=4), saves)
    assert [path.name for path in saves.kept] == ["1.ckpt", "2.ckpt"]
    assert sorted(tmp_path.iterdir()) == saves.kept
    for path in saves.kept:
        state = torch.load(path, weights_only=True)["state_dict"]
        assert all(torch.isfinite(value).all() for value in state.values())


def test_weights_that_break_while_the_loss_is_a_number_are_not_kept_either(tiny_base, tmp_path):
    saves = Saves(tmp_path)
    told, plugin = failing(prepare(tiny_base, batch_size=4), saves, gradient=float("nan"))
    assert [path.name for path in saves.kept] == ["1.ckpt", "2.ckpt"]
    assert "is no longer finite in step 3 of 6" in told and "model." in told
    assert f"ids {', '.join(map(str, plugin.third))}." in told


def test_a_large_weight_is_no_broken_one():
    module = torch.nn.Linear(2, 2)
    module.weight.data.fill_(3e38)
    assert broken_weight(module) is None, "their sum is infinite, and none of them is"
    module.bias.data[1] = float("inf")
    assert broken_weight(module) == "bias"
    assert broken_weight(module.requires_grad_(False)) is None


def test_many_ids_are_not_all_told():
    assert format_ids(list(range(70))).endswith("62, 63 and 6 more")


def test_a_loss_is_looked_at_after_the_next_batch_and_not_before(tiny_base, monkeypatch):
    """On a GPU, to look at once would be to wait at every step."""
    from tlplug.training import nonfinite

    seen, spoilt = [], Spoilt(Spoilt.Config(loss=1.0))
    right = nonfinite.Step.is_finite
    monkeypatch.setattr(
        nonfinite.Step, "is_finite", lambda step: seen.append((step.batch, spoilt.steps)) or right(step)
    )
    adapt(prepare(tiny_base, batch_size=4), spoilt, OptimizerSettings())
    assert seen[:5] == [(batch, batch + 1) for batch in range(1, 6)] and seen[5] == (6, 6)


@pytest.mark.parametrize(
    ("error", "about"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_errors_about_memory_are_told_from_others(error, about):
    assert is_about_memory(error) == about


def test_what_would_help_is_what_is_not_set_yet(tiny_base):
    head = prepare(tiny_base).head
    seen = CurrentBatch()
    seen.stage, seen.examples, seen.tokens = "training", 8, 512
    lora, qlora = strategy("lora"), strategy("qlora")
    assert remedies(seen, tiny_base, lora, head, "data.batch_size=4", 2)[:2] == [
        "data.batch_size=4 trainer.accumulate_grad_batches=4 (about the same steps)",
        "model.gradient_checkpointing=true",
    ]
    tight = replace(tiny_base, gradient_checkpointing=True, dtype="bfloat16")
    assert remedies(seen, tight, lora, head, None, 16) == [
        "strategy=qlora",
        "data.max_length=256 (longer texts are cut)",
    ]
    assert remedies(seen, tight, qlora, head, None, 16)[0].startswith("data.max_length=256")
    seen.stage = "testing"
    assert remedies(seen, tiny_base, lora, head, "data.batch_size=4", 2)[0] == "data.batch_size=4", (
        "nothing is accumulated"
    )


def test_out_of_memory_is_told_with_the_batch_and_has_its_cause(tiny_base):
    error = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 68719476736 bytes."
    plugin = Spoilt(Spoilt.Config(raises=error))
    with pytest.raises(
        TrainingFailed, match=r"in step 3 of training, with a batch of 4 examples of \d+ tok"
    ) as caught:
        adapt(prepare(tiny_base, batch_size=4), plugin, OptimizerSettings())
    assert str(caught.value.__cause__) == error and "data.batch_size=2" in str(caught.value)
    with pytest.raises(RuntimeError, match="something else"):
        adapt(prepare(tiny_base), Spoilt(Spoilt.Config(raises="something else")), OptimizerSettings())


def test_memory_that_ends_before_the_first_batch(tiny_base):
    asked = (CurrentBatch(), tiny_base, strategy("lora"), prepare(tiny_base).head, "data.batch_size=4", 1)
    with (
        pytest.raises(TrainingFailed, match="before the first batch.*gradient_checkpointing"),
        explain_out_of_memory(*asked),
    ):
        raise MemoryError


def raised(error, *names):
    plugins = [Registry().find("strategy", name) for name in names]
    with pytest.raises(type(error)) as caught, name_plugin_in_errors(plugins):
        Spoilt(Spoilt.Config()).fails(error)
    return "".join(traceback.format_exception(caught.value))


def fails(self, error):
    raise error


Spoilt.fails = fails


def test_an_exception_of_a_plugin_names_it_in_one_line():
    told = raised(KeyError("x"), f"{__name__}.Spoilt", "lora")
    assert told.endswith(
        f"It was raised in strategy '{__name__}.Spoilt' ({__name__}:Spoilt, from (not installed)).\n"
    )


def test_an_exception_of_others_and_a_usage_error_get_no_line():
    assert "It was raised" not in raised(UsageError("x"), f"{__name__}.Spoilt")
    with pytest.raises(KeyError) as caught, name_plugin_in_errors([Registry().find("strategy", "lora")]):
        {}["x"]
    assert not hasattr(caught.value, "__notes__")


def test_a_built_in_plugin_is_named_with_its_distribution_and_version(tiny_base):
    from tlplug import __version__

    lora = strategy("lora", r=2)
    with (
        pytest.raises(AttributeError) as caught,
        name_plugin_in_errors([Registry().find("strategy", "lora")]),
    ):
        lora.adapt(None, None)
    assert f"from tlplug {__version__}" in caught.value.__notes__[0]
