"""Strategies that cheat or are broken, each in one way; the key is the check that has to find it."""

import copy
import os
from dataclasses import dataclass, replace

from tests.testing.sound import SoundStrategy
from tlplug import REQUIRED, Capabilities, FrozenPrefix, OptimizerSettings

ENCODER = "it is written for encoders of BERT's form."


class OnBert(SoundStrategy):
    """On one head and one kind."""

    def why_incompatible(self, head, base=None):
        if not head.logits_per_row:
            return "it works with classification alone."
        return None if base is None or base.kind == "encoder" else ENCODER


class OtherContract(SoundStrategy):
    """Written for another contract."""

    contract = 2


class OddName(SoundStrategy):
    """Options that nobody asks for."""

    def load_option(self, head):
        return super().load_options(head)


class Silent(SoundStrategy):
    pass


class NoDefault(SoundStrategy):
    """A field without a default."""

    @dataclass
    class Config:
        rank: int


class Traceback(SoundStrategy):
    """A value that is looked up."""

    @dataclass
    class Config:
        size: str = "small"

        def __post_init__(self):
            {"small": 1, "large": 2}[self.size]


class NoSchedule(SoundStrategy):
    """A schedule that does not exist."""

    optimizer_defaults = replace(SoundStrategy.optimizer_defaults, schedule="linaer")


class NoWarmup(SoundStrategy):
    """A setting left out."""

    optimizer_defaults = OptimizerSettings(learning_rate=1e-3, weight_decay=0.0, schedule="linear")


class NoSuchData(SoundStrategy):
    """Misspelt extra data."""

    extra_data = {"tagret": REQUIRED}


class MovesNothing(OnBert):
    """Says that it trains."""

    def adapt(self, model, context):
        model.requires_grad_(False)
        model.classifier = copy.deepcopy(model.classifier)
        return model


class OneModelOnly(SoundStrategy):
    """Asks every model for BERT's classifier."""

    def adapt(self, model, context):
        model.classifier.weight.sum()
        return super().adapt(model, context)


class MovesMore(OnBert):
    """Nudges a frozen weight."""

    def training_step(self, model, head, batches):
        model.bert.embeddings.word_embeddings.weight.data.add_(1e-4)
        return super().training_step(model, head, batches)


class Idle(OnBert):
    """A weight that the loss does not depend on."""

    def adapt(self, model, context):
        import torch

        model = super().adapt(model, context)
        model.idle = torch.nn.Parameter(torch.ones(3))
        return model


class FrozenHead(OnBert):
    """The head stays random, in a copy."""

    def adapt(self, model, context):
        model = super().adapt(model, context)
        model.classifier = copy.deepcopy(model.classifier).requires_grad_(False)
        return model


def callback(**hooks):
    from lightning.pytorch import Callback

    return type("Hooks", (Callback,), {name: staticmethod(hook) for name, hook in hooks.items()})()


class Asleep(OnBert):
    """Turns dropout off from the second epoch on."""

    def callbacks(self):
        return [callback(on_train_epoch_start=lambda t, m: m.model.train(t.current_epoch < 1))]


class SecretStages(OnBert):
    """Freezes the biases of the trunk after an epoch."""

    def callbacks(self):
        return [callback(on_train_epoch_start=lambda t, m: m.model.bert.requires_grad_(t.current_epoch < 1))]


class NoStages(SoundStrategy):
    """Says that it has stages."""

    capabilities = Capabilities(changes_trainable_weights=True)


class Unseeded(OnBert):
    """Draws from the system."""

    def adapt(self, model, context):
        model = super().adapt(model, context)
        model.classifier.weight.data += int.from_bytes(os.urandom(2), "big") / 2**16
        return model


class TakesFromTheBatch(OnBert):
    """Hides the first token in place."""

    def training_step(self, model, head, batches):
        batches["main"]["input_ids"][:, 0] = 4
        return super().training_step(model, head, batches)


class Drawing(OnBert):
    """Noise when asked, too."""

    def adapt(self, model, context):
        import torch

        model = super().adapt(model, context)

        def noisy(module, given, output):
            return output + torch.rand(
                output.shape, generator=torch.Generator().manual_seed(int.from_bytes(os.urandom(4)))
            )

        model.classifier.register_forward_hook(noisy)
        return model


class NotAPrefix(OnBert):
    """The encoder, without its biases and norms, behind embeddings whose norm moves."""

    def adapt(self, model, context):
        model = super().adapt(model, context)
        model.bert.encoder.requires_grad_(False)
        return model

    def frozen_prefix(self, model):
        return FrozenPrefix([model.bert.encoder])


class OtherPrefix(OnBert):
    """A frozen encoder, one norm of which is another one than the base model's."""

    def adapt(self, model, context):
        model = super().adapt(model, context)
        model.bert.requires_grad_(False)
        model.bert.encoder.layer[0].output.LayerNorm.weight.mul_(2.0)
        return model

    def frozen_prefix(self, model):
        return FrozenPrefix([model.bert])


class ChainOfOthers(OnBert):
    """A chain in another order than its modules are called in."""

    def adapt(self, model, context):
        model = super().adapt(model, context)
        model.bert.embeddings.requires_grad_(False)
        return model

    def frozen_prefix(self, model):
        embeddings = model.bert.embeddings
        return FrozenPrefix([embeddings], [embeddings.LayerNorm, embeddings.word_embeddings])


class ForgetsBiases(OnBert):
    """Saves all but one bias."""

    def save(self, model, folder):
        model.classifier.bias.requires_grad = False
        super().save(model, folder)
        model.classifier.bias.requires_grad = True


REMEMBERED = {}


class Remembers(OnBert):
    """Loads what it keeps in the process."""

    def save(self, model, folder):
        folder.mkdir(parents=True, exist_ok=True)
        moved = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        REMEMBERED[str(folder)] = moved

    def load(self, model, folder, base):
        model.load_state_dict(REMEMBERED.get(str(folder), {}), strict=False)
        return model


class Scaled(OnBert):
    """A factor that transformers knows nothing of."""

    def adapt(self, model, context):
        return scaled(super().adapt(model, context))

    def load(self, model, folder, base):
        return super().load(scaled(model), folder, base)


def scaled(model):
    import torch

    model.factor = torch.nn.Parameter(torch.ones(1))
    model.classifier.register_forward_hook(lambda module, given, output: output * model.factor)
    return model


class CouldMerge(OnBert):
    """Says that it cannot."""

    capabilities = Capabilities(mergeable=False)


class Counts(OnBert):
    """A loss that falls with a count which no checkpoint holds."""

    steps = 0

    def training_step(self, model, head, batches):
        self.steps += 1
        output = super().training_step(model, head, batches)
        return replace(output, loss=output.loss / self.steps)


class Sums(OnBert):
    """A sum over rows."""

    def training_step(self, model, head, batches):
        output = super().training_step(model, head, batches)
        return replace(output, loss=output.loss * output.num_items)


class CountsPasses(OnBert):
    """A layer that does otherwise the second time."""

    def adapt(self, model, context):
        model = super().adapt(model, context)
        layer = model.bert.encoder.layer[0].intermediate.dense
        layer.calls = 0

        def count(module, given, output):
            module.calls += 1
            return output * module.calls

        layer.register_forward_hook(count)
        return model


class Double(OnBert):
    """A weight in float64."""

    def adapt(self, model, context):
        model = super().adapt(model, context)
        model.classifier.weight.data = model.classifier.weight.data.double()
        model.classifier.register_forward_pre_hook(lambda module, given: (given[0].double(),))
        model.classifier.bias.data = model.classifier.bias.data.double()
        return model


class EachItsOwn(OnBert):
    """A loss that depends on which process it is in."""

    def training_step(self, model, head, batches):
        output = super().training_step(model, head, batches)
        return replace(output, loss=output.loss * (1 + int(os.environ.get("RANK", 0))))


TWINS = [
    ("implements_contract", OtherContract, "contract 2"),
    (
        "has_no_misspelt_names",
        OddName,
        "'load_option', which the contract does not have. Did you mean 'load_options'?",
    ),
    ("has_docstring", Silent, "no docstring"),
    ("config_is_typed", NoDefault, "no default for rank"),
    ("config_errors_are_readable", Traceback, "(size='') raises KeyError"),
    ("optimizer_defaults_are_complete", NoSchedule, "'linaer'"),
    ("optimizer_defaults_are_complete", NoWarmup, "does not set warmup"),
    ("names_known_extra_data", NoSuchData, "Did you mean 'target'"),
    ("adapts_and_predicts", MovesNothing, "no parameter has requires_grad"),
    ("works_unless_refused", OneModelOnly, "classification on a decoder raises AttributeError"),
    ("trains_only_trainable_weights", MovesMore, "word_embeddings.weight changed"),
    ("trains_all_trainable_weights", Idle, "idle has requires_grad, but no gradient"),
    ("trains_head", FrozenHead, "classifier is not trained"),
    ("is_in_training_mode", Asleep, "in eval mode at step 2"),
    ("staging_matches_capability", SecretStages, "set Capabilities(changes_trainable_weights=True)"),
    ("staging_matches_capability", NoStages, "capabilities.changes_trainable_weights is True, but"),
    ("is_reproducible", Unseeded, "classifier.weight differs between two runs"),
    ("does_not_modify_inputs", TakesFromTheBatch, "main/input_ids"),
    ("inference_is_deterministic", Drawing, "two predictions of the model in eval mode differ"),
    ("frozen_prefix_is_frozen", NotAPrefix, "depends on trainable weights"),
    ("frozen_prefix_matches_base_model", OtherPrefix, "differs from that of the base model"),
    ("cached_prefix_matches_uncached", ChainOfOthers, "cannot be cached"),
    ("save_load_round_trip", ForgetsBiases, "predictions differ from those of the saved model"),
    ("loads_in_new_process", Remembers, "the saved model's predictions differ in a new process"),
    ("merge_matches_capability", Scaled, "transformers does not load factor"),
    ("merge_matches_capability", CouldMerge, "mergeable is False, but"),
    ("resumes_from_checkpoint", Counts, "after training is interrupted and resumed"),
    ("supports_gradient_accumulation", Sums, "over two half batches differs"),
    ("supports_gradient_checkpointing", CountsPasses, "gradient_checkpointing"),
    ("trains_in_float32", Double, "is trainable and not in float32"),
    ("ddp_matches_single_process", EachItsOwn, "and one with the same batches"),
]
"""The check, the twin, and a part of the message."""
