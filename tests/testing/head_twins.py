"""Heads that are broken in one way each; the key is the check that has to find it."""

import random
from dataclasses import dataclass, replace

from tests.testing.sound import SoundHead


class OtherContract(SoundHead):
    """Written for another contract."""

    contract = 2


class OddName(SoundHead):
    """A length that nobody asks for."""

    def lenght(self, feature):
        return 1


class Silent(SoundHead):
    pass


class Unlisted(SoundHead):
    """A field whose type cannot be typed."""

    @dataclass
    class Config(SoundHead.Config):
        weights: tuple[int, ...] | list[float] = ()


class Curt(SoundHead):
    """Refuses without words."""

    @dataclass
    class Config(SoundHead.Config):
        size: int = 1

        def __post_init__(self):
            if self.size < 0:
                raise ValueError("bad")


class Misspelt(SoundHead):
    """A target that is no column."""

    targets = ("lable",)


class Fussy(SoundHead):
    """Fits nothing."""

    def why_incompatible(self, base):
        return "no"


class Careless(SoundHead):
    """Takes every row."""

    def row_error(self, row, with_targets):
        return None


class BindsItself(SoundHead):
    """Remembers the labels of the last run."""

    def fit(self, rows):
        self.state = super().fit(rows)
        return self.state


class ReadsOther(SoundHead):
    """Reads a column that it does not declare."""

    def encode(self, rows, base, training):
        return super().encode([{**row, "text": row["txt"]} for row in rows], base, training)


class Tuples(SoundHead):
    """Features with tuples."""

    def encode(self, rows, base, training):
        return [{**f, "input_ids": tuple(f["input_ids"])} for f in super().encode(rows, base, training)]


class PadsTooSoon(SoundHead):
    """Features as long as the longest."""

    def encode(self, rows, base, training):
        features = super().encode(rows, base, training)
        longest = max(len(feature["input_ids"]) for feature in features)
        for feature in features:
            missing = longest - len(feature["input_ids"])
            for name in [name for name, value in feature.items() if isinstance(value, list)]:
                feature[name] = feature[name] + [0] * missing
        return features


class Uncut(SoundHead):
    """Takes what does not fit."""

    def encode(self, rows, base, training):
        return super().encode(rows, replace(base, max_length=512), training)


class AllReal(SoundHead):
    """A mask of ones."""

    def collate(self, features, base):
        batch = super().collate(features, base)
        batch["attention_mask"][:] = 1
        return batch


class Consumes(SoundHead):
    """Takes the masks out of the features."""

    def collate(self, features, base):
        batch = super().collate(features, base)
        for feature in features:
            feature.pop("attention_mask")
        return batch


class DrawsElsewhere(SoundHead):
    """Changes a token at random, by Python's own generator."""

    def collate(self, features, base):
        batch = super().collate(features, base)
        batch["input_ids"][0, 1] = random.randrange(5, 60)
        return batch


class Nameless(SoundHead):
    """Names none of its modules."""

    head_modules = ()


class Sums(SoundHead):
    """A sum over rows."""

    def training_step(self, model, batch):
        output = super().training_step(model, batch)
        return replace(output, loss=output.loss * output.num_items)


class LearnsNothing(SoundHead):
    """A loss without a gradient."""

    def training_step(self, model, batch):
        output = super().training_step(model, batch)
        return replace(output, loss=output.loss.detach() + 0.0 * output.loss)


class LosesOne(SoundHead):
    """Answers one row less."""

    def predict(self, model, batch):
        return super().predict(model, batch)[:-1]


class NeedsTargets(SoundHead):
    """Cannot predict what it is not told."""

    def decode(self, outputs, rows, base):
        return [
            {**p, "gold": row["label"]}
            for p, row in zip(super().decode(outputs, rows, base), rows, strict=True)
        ]


class OtherNumbers(SoundHead):
    """Numbers of another score."""

    def example_scores(self, predictions, rows):
        return [number / 2 - 1 for number in super().example_scores(predictions, rows)]


class SecondPlace(SoundHead):
    """A trivial baseline that answers nothing."""

    def trivial_predictions(self, train, rows, base):
        return [{"id": row["id"]} for row in rows]


class Unmasked(SoundHead):
    """Reads the padding."""

    def predict(self, model, batch):
        import torch

        return super().predict(model, {**batch, "attention_mask": torch.ones_like(batch["attention_mask"])})


class AsksTwice(SoundHead):
    """Calls the model twice."""

    def predict(self, model, batch):
        super().predict(model, batch)
        return super().predict(model, batch)


class TakesTheMask(SoundHead):
    """Takes the mask out of the batch."""

    def training_step(self, model, batch):
        output = super().training_step(model, batch)
        del batch["attention_mask"]
        return output


class TunesNothing(SoundHead):
    """Is asked and says nothing."""

    tunes = True


TWINS = [
    ("implements_contract", OtherContract, "contract 2"),
    ("has_no_misspelt_names", OddName, "'lenght', which the contract does not have. Did you mean 'length'?"),
    ("has_docstring", Silent, "no docstring"),
    ("config_is_typed", Unlisted, "OmegaConf does not support"),
    ("config_errors_are_readable", Curt, "is too short"),
    ("columns_are_consistent", Misspelt, "lable"),
    ("works_on_some_base_model", Fussy, "why_incompatible returns 'no'"),
    ("rejects_invalid_rows", Careless, "row_error accepts a row whose 'text' is None"),
    ("binding_makes_a_copy", BindsItself, "fit modifies the head"),
    ("encodes_rows", ReadsOther, "on the kind encoder: the head reads row['txt'], which it does not declare"),
    ("features_are_serializable", Tuples, "JSON changes"),
    ("encoding_is_independent_of_other_rows", PadsTooSoon, "when it is encoded alone"),
    ("inputs_respect_max_length", Uncut, "but base.max_length is 40"),
    ("batches_are_padded", AllReal, "ones for"),
    ("does_not_modify_rows", Consumes, "collate modifies the features"),
    ("new_modules_are_in_head_modules", Nameless, "classifier.weight has random weights"),
    ("loss_is_mean", Sums, "must be a mean over `num_items`"),
    ("loss_decreases", LearnsNothing, "after 20 steps"),
    ("predicts_each_row", LosesOne, "other ids"),
    ("predicts_each_row", NeedsTargets, "KeyError: 'label'"),
    ("primary_score_is_mean_of_example_scores", OtherNumbers, "the mean of example_scores"),
    ("trivial_predictions_need_no_model", SecondPlace, "without `prediction`"),
    ("predictions_are_independent_of_padding", Unmasked, "in a batch with longer rows"),
    ("single_forward_pass", AsksTwice, "predict calls the model 2 times"),
    ("does_not_modify_batch", TakesTheMask, "training_step modifies attention_mask"),
    ("collate_draws_from_torch", DrawsElsewhere, "collate draws input_ids from another generator"),
    ("tune_returns_numbers", TunesNothing, "tune returns {}"),
]
"""The check, the twin, and a part of the message."""
