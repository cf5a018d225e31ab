"""What is frozen runs once: the same weights as without, the right examples, and no trust in what does not fit."""

import copy
import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from tests.conftest import make_rows, make_tokenizer
from tests.image_head import ImageHead
from tests.models.test_base_kinds import saved
from tests.plugins.tiny_generators import FRAMES, byte_tokenizer
from tests.training.sample_tasks import QUICK, prepare, strategy
from tlplug import FrozenPrefix, Strategy
from tlplug.data.datamodule import TransferData
from tlplug.data.features import encode
from tlplug.interfaces.registry import Registry
from tlplug.models.base_model import find_base
from tlplug.runtime import cache
from tlplug.settings import DataSettings, ModelSettings, OptimizerSettings
from tlplug.training.fit import Prepared, adapt
from tlplug.training.prefix_cache.compute import KIND
from tlplug.training.prefix_cache.store import FORM, SPANS, STATES, PrefixStates

THREE = dataclasses.replace(QUICK, max_epochs=3)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """By name: tiny base models of three blocks, padded on the side that the name says."""
    root = tmp_path_factory.mktemp("bases")
    found = {}
    for name, side in [("bert", "right"), ("llama", "right"), ("llama", "left"), ("gpt2", "left")]:
        tokenizer = make_tokenizer() if name == "bert" else byte_tokenizer(FRAMES[name])
        folder = root / f"{name}-{side}"
        layers = {"n_layer" if name == "gpt2" else "num_hidden_layers": 3} if name != "bert" else {}
        found[folder.name] = find_base(saved(name, folder, tokenizer, **layers), 64)
        found[folder.name].tokenizer.padding_side = side  # a tokenizer's file does not hold it
    return found


def trained(base, name, **fields):
    """Three epochs over 21 uneven rows; the weights that moved, and the outcome."""
    task = prepare(base, trainer=THREE, train=21)
    model, outcome = adapt(task, strategy(name, **fields), OptimizerSettings(learning_rate=1e-3))
    return {key: value.detach() for key, value in model.named_parameters() if value.requires_grad}, outcome


CASES = [
    ("bert-right", "last_layers", {"layers": 1}),
    ("bert-right", "last_layers", {"layers": 0}),
    ("llama-right", "last_layers", {"layers": 1}),
    ("llama-left", "last_layers", {"layers": 2}),
    ("gpt2-left", "last_layers", {"layers": 1}),
    ("bert-right", "linear_probe", {}),
    ("llama-left", "linear_probe", {"pooling": "last"}),
    ("bert-right", "linear_probe", {"pooling": "layer_mean"}),
]


@pytest.mark.parametrize(("base", "name", "fields"), CASES, ids=lambda given: str(given))
def test_the_same_weights_as_when_it_runs_in_every_epoch(bases, base, name, fields):
    kept, one = trained(bases[base], name, cache=True, **fields)
    assert (cache.cache_folder() / KIND).is_dir()
    plain, other = trained(bases[base], name, cache=False, **fields)
    agree(kept, plain)
    assert one.scores == pytest.approx(other.scores, abs=1e-4)


def agree(kept, plain):
    """Up to the biases of keys, which attention does not depend on: their gradient is rounding, and AdamW scales it up."""
    assert kept.keys() == plain.keys() and kept
    for key, value in kept.items():
        if key.endswith(("key.bias", "attn.k.bias")):
            continue
        parts = [0, 2] if key.endswith("c_attn.bias") else [0]
        for part in parts:
            one, other = (each.chunk(3 if len(parts) > 1 else 1)[part] for each in (value, plain[key]))
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


class Count:
    """Counts the examples that go through each module of a class, while it lasts."""

    def __init__(self, monkeypatch, cls):
        self.examples = {}
        compute = cls.forward

        def forward(module, states, *args, **named):
            self.examples[id(module)] = self.examples.get(id(module), 0) + len(states)
            return compute(module, states, *args, **named)

        monkeypatch.setattr(cls, "forward", forward)


def test_frozen_blocks_run_once_for_each_example_and_not_at_all_in_the_next_run(bases, monkeypatch):
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    count = Count(monkeypatch, LlamaDecoderLayer)
    trained(bases["llama-right"], "last_layers", layers=1)
    examples = {"train": 21, "validation": 8, "test": 11}
    tried = 3 * (2 + 1)  # the longest and the shortest of each split together, and the shortest alone
    once, top = sum(examples.values()), 3 * 21 + 3 * 8 + 11
    assert sorted(count.examples.values()) == sorted([once + tried, once + tried, top + tried])
    count.examples.clear()
    trained(bases["llama-right"], "last_layers", layers=1)
    assert list(count.examples.values()) == [top]


def entries():
    return {folder.name for folder in (cache.cache_folder() / KIND).iterdir()}


def test_other_weights_rows_or_tokenizer_are_kept_apart(bases, tmp_path):
    base = bases["bert-right"]
    trained(base, "last_layers", layers=1)
    known = entries()
    assert len(known) == 3
    trained(base, "last_layers", layers=1)
    assert entries() == known

    def fresh(other, train=21):
        before = entries()
        adapt(prepare(other, train=train), strategy("last_layers", layers=1), OptimizerSettings())
        return len(entries() - before)

    assert fresh(base, train=20) == 1, "the training rows alone are others"
    weights = find_base(changed(base, tmp_path / "weights"), 64)
    assert fresh(weights) == 3
    tokenizer = find_base(changed(base, tmp_path / "tokenizer", cut=True), 64)
    assert fresh(tokenizer) == 3
    assert fresh(dataclasses.replace(base, config=turned(base.config))) == 3


def changed(base, folder, cut=False):
    """The same base model elsewhere with one frozen weight moved, or with a tokenizer that writes words in pieces."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(base.path, folder)
    if not cut:
        weights = load_file(folder / "model.safetensors")
        weights["encoder.layer.0.output.dense.bias"][0] += 1e-3
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        rules = json.loads((folder / "tokenizer.json").read_text())
        rules["model"]["vocab"]["film"], rules["model"]["vocab"]["plot"] = (
            rules["model"]["vocab"][word] for word in ("plot", "film")
        )
        (folder / "tokenizer.json").write_text(json.dumps(rules))
    return ModelSettings(source=str(folder))


def turned(config):
    """The same weights computed with otherwise."""
    config = copy.deepcopy(config)
    config.layer_norm_eps = 1e-3
    return config


def test_what_is_kept_does_not_shift_the_random_numbers_of_the_training(bases):
    """Dropout of the moving part is the same in the run that fills the cache, in the next, and in one without."""
    base = bases["bert-right"]
    first, _ = trained(base, "last_layers", layers=1)
    second, _ = trained(base, "last_layers", layers=1)
    assert all(torch.equal(first[key], second[key]) for key in first)


class Faulty(Strategy):
    """Moves the pooler and the classifier of a BERT, and says something untrue of what runs before."""

    contract = 1
    optimizer_defaults = OptimizerSettings(1e-3, 0.0, "constant", 0.0)

    def __init__(self, prefix, moves=("pooler", "classifier")):
        super().__init__()
        self.prefix, self.moves = prefix, moves

    def adapt(self, model, context):
        for name, parameter in model.named_parameters():
            parameter.requires_grad = any(word in name for word in self.moves)
        return model

    def frozen_prefix(self, model):
        return self.prefix(model.bert)


FAULTS = [
    ("depends on more than the example", lambda bert: FrozenPrefix([], [*bert.encoder.layer]), {}),
    (
        "it contains or follows trainable weights",
        lambda bert: whole(bert),
        {"moves": ("embeddings", "classifier")},
    ),
    (
        "modules are not each called once, in order",
        lambda bert: FrozenPrefix([bert], [*bert.encoder.layer][::-1]),
        {},
    ),
    (
        "do not read each other's outputs",
        lambda bert: FrozenPrefix([bert], [bert.encoder.layer[0], bert.encoder.layer[1].output.dense]),
        {},
    ),
]


def whole(bert):
    return FrozenPrefix([bert.embeddings, bert.encoder], [*bert.encoder.layer])


@pytest.mark.parametrize(("reason", "prefix", "more"), FAULTS, ids=[reason for reason, _, _ in FAULTS])
def test_what_cannot_be_kept_runs_in_every_epoch_and_the_log_says_why(bases, caplog, reason, prefix, more):
    faulty = Faulty(prefix, **more)
    model, _ = adapt(prepare(bases["bert-right"]), faulty, OptimizerSettings())
    assert reason in caplog.text and "is computed again in every epoch" in caplog.text
    assert not any((cache.cache_folder() / KIND).glob("*"))
    assert not any("forward" in vars(module) for module in model.modules()), (
        "nothing stands in for the blocks"
    )


def test_an_honest_prefix_is_kept(bases):
    adapt(prepare(bases["bert-right"]), Faulty(whole), OptimizerSettings())
    assert len(entries()) == 3


def test_positions_that_count_padding_are_not_kept(bases, caplog):
    """An encoder with learnt positions that is padded on the left gives an example other states in another batch."""
    base = dataclasses.replace(bases["bert-right"], processor=make_tokenizer())
    base.tokenizer.padding_side = "left"
    adapt(prepare(base), strategy("last_layers", layers=1), OptimizerSettings())
    assert "depends on more than the example" in caplog.text


def test_blocks_that_share_their_weights_are_not_kept(tmp_path, caplog):
    from transformers import AlbertConfig, AutoModel

    tokenizer = make_tokenizer()
    sizes = {"hidden_size": 32, "embedding_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
    AutoModel.from_config(
        AlbertConfig(vocab_size=len(tokenizer), num_hidden_layers=3, **sizes)
    ).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    adapt(
        prepare(find_base(ModelSettings(source=str(tmp_path)), 64)),
        strategy("last_layers", layers=0),
        OptimizerSettings(),
    )
    assert "modules are not each called once, in order" in caplog.text


def test_blocks_that_give_a_tuple_are_kept(tmp_path, caplog):
    from transformers import AutoModel, MPNetConfig

    tokenizer = make_tokenizer()
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3}
    AutoModel.from_config(MPNetConfig(vocab_size=len(tokenizer), pad_token_id=0, **sizes)).save_pretrained(
        tmp_path
    )
    tokenizer.save_pretrained(tmp_path)
    base = find_base(ModelSettings(source=str(tmp_path)), 64)
    kept, _ = trained(base, "last_layers", layers=1)
    assert "is computed again in" not in caplog.text and len(entries()) == 3
    plain, _ = trained(base, "last_layers", layers=1, cache=False)
    agree(kept, plain)


def test_a_damaged_entry_is_made_again_and_said(bases, caplog):
    base = bases["bert-right"]
    first, _ = trained(base, "last_layers", layers=1)
    for states in (cache.cache_folder() / KIND).glob(f"*/{STATES}"):
        states.write_bytes(states.read_bytes()[:-100])
    second, _ = trained(base, "last_layers", layers=1)
    assert caplog.text.count("is damaged and is computed again") == 3
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_cache_that_cannot_be_written_costs_time_and_not_the_run(bases, caplog, monkeypatch):
    def full(folder):
        raise OSError("no space")

    monkeypatch.setattr("tlplug.runtime.files.atomic_cache_folder", full)
    trained(bases["bert-right"], "last_layers", layers=1)
    assert "cannot be written (no space)" in caplog.text


def test_no_more_than_a_batch_is_held_in_memory(bases):
    """States are written as they come, and each feature's place says where."""
    task = prepare(bases["bert-right"], train=21)
    adapt(task, strategy("last_layers", layers=1), OptimizerSettings())
    lengths = [len(task.data.features["train"][at]["input_ids"]) for at in range(21)]
    found = [np.load(file) for file in (cache.cache_folder() / KIND).glob(f"*/{SPANS}")]
    spans = next(each for each in found if len(each) == 21)
    assert (spans[:, 1] - spans[:, 0]).tolist() == lengths
    assert sorted(spans[:, 0])[1:] == sorted(spans[:, 1])[:-1], "one after another, without gaps"
    assert spans[:, 0].tolist() != sorted(spans[:, 0]), "in the order of their computation, not of the rows"


def test_in_16_bits_the_states_are_what_the_frozen_part_gives(bases):
    base = dataclasses.replace(bases["llama-right"], dtype="bfloat16")
    kept, _ = trained(base, "last_layers", layers=1)
    plain, _ = trained(base, "last_layers", layers=1, cache=False)
    forms = [json.loads(file.read_text()) for file in (cache.cache_folder() / KIND).glob(f"*/{FORM}")]
    assert {form["dtype"] for form in forms} == {"bfloat16"}
    for key, value in kept.items():
        assert value.dtype == torch.float32
        assert (value - plain[key]).norm() <= 0.02 * plain[key].norm()


def test_a_head_that_calls_the_model_more_than_once_keeps_nothing(bases):
    task = prepare(bases["bert-right"])
    task.head.single_forward_pass = False
    adapt(task, strategy("last_layers", layers=1), OptimizerSettings())
    assert not (cache.cache_folder() / KIND).exists()


def test_windows_of_one_row_are_told_apart_by_their_part(bases):
    head = Registry().find("head", "token_classification").load()()
    rows = [
        {"id": row["id"], "tokens": row["text"].split() * 12, "tags": ["O"] * 12 * len(row["text"].split())}
        for row in make_rows(4)
    ]
    base = bases["bert-right"]
    features = encode(head.with_state(head.fit(rows)), rows, base, True)
    identities, parts = features.identities()
    assert parts.max() > 0
    states = torch.arange(len(features), dtype=torch.float32)[:, None]
    names = identities * (parts.max() + 1) + parts
    places = np.argsort(names)
    spans = np.stack([np.arange(len(features)), np.arange(1, len(features) + 1)], 1)
    stored = PrefixStates(
        *(states, spans, (1,), names[places], places, int(parts.max()) + 1, -1),
        lambda batch: batch["attention_mask"],
    )
    batch = {
        "id": torch.tensor(identities[::-1].copy()),
        "part": torch.tensor(parts[::-1].copy()),
        "attention_mask": torch.ones(len(features), 1),
    }
    assert stored.of(batch)[:, 0].tolist() == list(range(len(features)))[::-1]


class ArrayHead(ImageHead):
    """One label for an array: without tokens and a mask, so that each row is one whole."""

    contract = 1

    def inputs(self, row):
        return {"pixel_values": row["image"]}


def images(count, seed):
    draw = np.random.default_rng(seed)
    return [
        {"id": n, "image": draw.normal(n % 2, size=(3, 8, 8)).astype(np.float32), "label": "ab"[n % 2]}
        for n in range(count)
    ]


def array_task(folder):
    from transformers import ViTConfig, ViTModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    ViTModel(ViTConfig(image_size=8, patch_size=4, **sizes)).save_pretrained(folder)
    base = find_base(ModelSettings(source=str(folder)))
    rows = {split: images(count, seed) for seed, (split, count) in enumerate(SIZES.items())}
    head = ArrayHead().with_state({"labels": ["a", "b"]})
    features = {split: encode(head, each, base, split == "train") for split, each in rows.items()}
    data = TransferData(features, head, base, DataSettings(batch_size=8, batching="rows"), seed=3)
    return Prepared(head, base, rows, data, THREE, 3)


SIZES = {"train": 21, "validation": 8, "test": 11}


def test_states_of_several_positions_are_kept_whole_where_the_head_has_no_mask(tmp_path, monkeypatch):
    from transformers.models.vit.modeling_vit import ViTLayer

    count = Count(monkeypatch, ViTLayer)
    results = []
    for cached in (True, False):
        chosen = strategy("last_layers", layers=1, cache=cached)
        model, outcome = adapt(array_task(tmp_path), chosen, OptimizerSettings(learning_rate=1e-3))
        moved = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
        results.append((moved, outcome, sorted(count.examples.values())))
        count.examples.clear()
    (kept, one, ran), (plain, other, every) = results
    agree(kept, plain)
    assert one.scores == pytest.approx(other.scores, abs=1e-4) and one.scores["accuracy"] > 0.5
    tried, top = 3 * (2 + 1), 3 * 21 + 3 * 8 + 11
    assert ran == sorted([40 + tried, 40 + tried, top + tried]) and every == [top] * 3
    folders = list((cache.cache_folder() / KIND).iterdir())
    forms = [json.loads((folder / FORM).read_text()) for folder in folders]
    assert [form["shape"] for form in forms] == [[5, 16]] * 3 and {form["width"] for form in forms} == {80}
    spans = [np.load(folder / SPANS) for folder in folders]
    assert sorted(len(each) for each in spans) == [8, 11, 21]
    assert all((each[:, 1] - each[:, 0] == 1).all() for each in spans), "one row of states for each example"
