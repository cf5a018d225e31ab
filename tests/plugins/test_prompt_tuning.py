"""Prompt tuning: what a model reads and gives back, against stock peft, and that padding and company change nothing."""

import itertools

import pytest
import torch
from peft import PeftModel
from torch.nn.functional import pad

from tests.conftest import make_tokenizer
from tests.plugins.tiny_generators import CONFIGS
from tlplug import AdaptContext, UsageError
from tlplug.interfaces import BaseInfo
from tlplug.interfaces.registry import Registry

PAD, END, VOCABULARY = 0, 2, 60
AUTO = {
    "classification": "AutoModelForSequenceClassification",
    "tokens": "AutoModelForTokenClassification",
    "answers": "AutoModelForQuestionAnswering",
    "masked": "AutoModelForMaskedLM",
    "causal": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
}
CELLS = [
    *(("bert", task) for task in ("classification", "tokens", "answers", "masked")),
    *(("llama", task) for task in ("classification", "tokens", "answers", "causal")),
    *(("t5", task) for task in ("classification", "tokens", "answers", "seq2seq")),
]


class Head:
    """As much of a head as adapting and saving ask for."""

    head_modules = ("classifier", "score", "classification_head", "qa_outputs")


def fresh(architecture, task):
    import transformers

    torch.manual_seed(0)
    model = getattr(transformers, AUTO[task]).from_config(CONFIGS[architecture](VOCABULARY))
    if (architecture, task) == ("t5", "tokens"):  # tied where it is loaded, though not where it is made
        model.transformer.encoder.embed_tokens.weight = model.transformer.shared.weight
    return model.eval()


def context_of(model, config=None):
    base = BaseInfo("tiny", "tiny", None, "0", config or model.config, make_tokenizer(), 64)
    return AdaptContext(Head(), base, 0, lambda: itertools.repeat({}), torch.device("cpu"))


def tuned(strategy, architecture, task, **fields):
    """The strategy and a model in eval mode whose virtual tokens are anything but what they began as."""
    cls = Registry().find("strategy", strategy).load()
    method = cls(cls.Config(num_virtual_tokens=5, **fields))
    model = fresh(architecture, task)
    adapted = method.adapt(model, context_of(model)).eval()
    with torch.no_grad():
        for parameter in adapted.prompt_encoder.parameters():
            parameter.normal_()
    return method, adapted


def rows(*lengths):
    draw = torch.Generator().manual_seed(3)
    return [
        torch.cat([torch.randint(6, VOCABULARY, (n - 1,), generator=draw), torch.tensor([END])])
        for n in lengths
    ]


def together(texts, left=False):
    """Ids and mask [B, T] of texts, padded on one side."""
    longest = max(map(len, texts))
    room = [(longest - len(t), 0) if left else (0, longest - len(t)) for t in texts]
    ids = torch.stack([pad(t, r, value=PAD) for t, r in zip(texts, room, strict=True)])
    mask = torch.stack([pad(torch.ones_like(t), r) for t, r in zip(texts, room, strict=True)])
    return {"input_ids": ids, "attention_mask": mask}


def answers(model, task, batch):
    """Logits [B, ...]; starts and ends one after another."""
    more = {"decoder_input_ids": torch.tensor([[0, 7, 8, 9]] * len(batch["input_ids"]))}
    with torch.no_grad():
        output = model(**batch, **(more if task == "seq2seq" else {}))
    if task == "answers":
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    return output.logits


def near(one, other):
    """Equal but for rounding, which is measured against the largest of the numbers."""
    torch.testing.assert_close(one, other, atol=5e-5 * float(other.detach().abs().max()), rtol=0)


def check_alone_and_in_company(model, task, left=False):
    texts = rows(9, 4, 6)
    batch = together(texts, left)
    if left:
        batch["position_ids"] = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    found = answers(model, task, batch)
    for text, mask, row in zip(texts, batch["attention_mask"].bool(), found, strict=True):
        alone = answers(model, task, together([text]))[0]
        per_text = task in ("classification", "seq2seq")
        near(row if per_text else row[mask], alone)


def check_stock(strategy, architecture, task, texts, tmp_path):
    method, adapted = tuned(strategy, architecture, task)
    method.save(adapted, tmp_path)
    stock = PeftModel.from_pretrained(fresh(architecture, task), tmp_path).eval()
    batch = together(texts)
    ours, theirs = answers(adapted, task, batch), answers(stock, task, batch)
    if task not in ("classification", "seq2seq"):
        assert ours.shape[1] == batch["input_ids"].shape[1]
        theirs = theirs[:, -ours.shape[1] :]
    near(ours, theirs)


def check_loaded(strategy, architecture, task, tmp_path, **fields):
    method, adapted = tuned(strategy, architecture, task, **fields)
    method.save(adapted, tmp_path)
    loaded = method.load(fresh(architecture, task), tmp_path, None).eval()
    batch = together(rows(9, 4, 6))
    torch.testing.assert_close(answers(loaded, task, batch), answers(adapted, task, batch), atol=1e-6, rtol=0)


def greedy(model, text, steps, encoder_decoder):
    """Written without a cache and without `generate`: the likeliest next token, again and again."""
    ids, written = text[None], torch.tensor([[0]])
    for _ in range(steps):
        given = {"input_ids": ids if encoder_decoder else torch.cat([ids, written[:, 1:]], dim=1)}
        more = {"decoder_input_ids": written} if encoder_decoder else {}
        with torch.no_grad():
            logits = model(
                **given, attention_mask=torch.ones_like(given["input_ids"]), use_cache=False, **more
            ).logits
        written = torch.cat([written, logits[:, -1:].argmax(-1)], dim=1)
    return written[0, 1:].tolist()


def check_generates(model, encoder_decoder):
    texts = rows(9, 4, 6)
    model.get_base_model().generation_config.update(eos_token_id=None, pad_token_id=PAD)
    batch = together(texts, left=not encoder_decoder)
    found = model.generate(**batch, max_new_tokens=6, do_sample=False, use_cache=True)
    start = 1 if encoder_decoder else batch["input_ids"].shape[1]
    if not encoder_decoder:
        assert torch.equal(found[:, :start], batch["input_ids"])
    for text, row in zip(texts, found[:, start:].tolist(), strict=True):
        assert row == greedy(model, text, 6, encoder_decoder)


def check_beams(model, encoder_decoder):
    """Each row of a batch gets the beams that it gets alone."""
    texts = rows(9, 4, 6)
    model.get_base_model().generation_config.update(eos_token_id=None, pad_token_id=PAD, num_beams=3)
    batch = together(texts, left=not encoder_decoder)
    found = model.generate(**batch, max_new_tokens=6, do_sample=False, use_cache=True)[:, -6:]
    for text, row in zip(texts, found, strict=True):
        alone = model.generate(**together([text]), max_new_tokens=6, do_sample=False, use_cache=True)
        assert torch.equal(alone[0, -6:], row)


# transformers cannot tell from embeddings alone where a row ends, and T5's heads need ids: peft hands in embeddings.
STOCK = [c for c in CELLS if c not in (("t5", "classification"), ("t5", "answers"))]


@pytest.mark.parametrize(("architecture", "task"), STOCK)
def test_stock_peft_gives_the_same_with_what_is_saved(architecture, task, tmp_path):
    padded = (architecture, task) != ("llama", "classification")
    check_stock("prompt_tuning", architecture, task, rows(9, 4, 6) if padded else rows(6, 6), tmp_path)


@pytest.mark.parametrize(("architecture", "task"), CELLS)
def test_a_row_s_answer_does_not_depend_on_what_it_is_padded_to(architecture, task):
    check_alone_and_in_company(tuned("prompt_tuning", architecture, task)[1], task)


def test_padding_on_the_left_changes_nothing_either():
    check_alone_and_in_company(tuned("prompt_tuning", "llama", "classification")[1], "classification", True)


@pytest.mark.parametrize(("architecture", "task"), CELLS)
def test_what_is_saved_comes_back(architecture, task, tmp_path):
    check_loaded("prompt_tuning", architecture, task, tmp_path)


@pytest.mark.parametrize(("architecture", "task"), [("llama", "causal"), ("t5", "seq2seq")])
def test_what_is_generated_is_the_likeliest_next_token_each_time(architecture, task):
    check_generates(tuned("prompt_tuning", architecture, task)[1], architecture == "t5")


@pytest.mark.parametrize(("architecture", "task"), [("llama", "causal"), ("t5", "seq2seq")])
def test_a_row_gets_the_beams_that_it_gets_alone(architecture, task):
    check_beams(tuned("prompt_tuning", architecture, task)[1], architecture == "t5")


def test_the_prompt_is_what_the_encoder_reads_first():
    """Against embeddings put together by hand."""
    model = tuned("prompt_tuning", "bert", "classification")[1]
    batch = together(rows(6, 6))
    plain, prompt = model.get_base_model(), model.prompt_encoder["default"].embedding.weight
    embedded = plain.get_input_embeddings()(batch["input_ids"])
    by_hand = torch.cat([prompt.expand(2, -1, -1), embedded], dim=1)
    with torch.no_grad():
        expected = plain(inputs_embeds=by_hand).logits
    torch.testing.assert_close(answers(model, "classification", batch), expected)
    assert not torch.allclose(expected, answers(plain, "classification", batch))


def test_hidden_states_are_those_of_the_text():
    model = tuned("prompt_tuning", "bert", "classification")[1]
    states = model(**together(rows(6, 4)), output_hidden_states=True).hidden_states
    assert {tuple(state.shape[:2]) for state in states} == {(2, 6)}


def test_a_text_to_begin_with():
    tokenizer = make_tokenizer()
    cls = Registry().find("strategy", "prompt_tuning").load()
    method, model = (
        cls(cls.Config(num_virtual_tokens=5, prompt_tuning_init_text="the film was")),
        fresh("bert", "masked"),
    )
    adapted = method.adapt(model, context_of(model))
    ids = tokenizer.convert_tokens_to_ids(["the", "film", "was", "the", "film"])
    begun = adapted.prompt_encoder["default"].embedding.weight
    assert torch.equal(begun, model.get_input_embeddings().weight[torch.tensor(ids)])


def test_without_a_text_it_begins_as_tokens_drawn_by_the_seed():
    def begun(seed):
        cls = Registry().find("strategy", "prompt_tuning").load()
        model = fresh("bert", "masked")
        torch.manual_seed(seed)
        adapted = cls(cls.Config()).adapt(model, context_of(model))
        vocabulary = model.get_input_embeddings().weight
        found = adapted.prompt_encoder["default"].embedding.weight
        assert all((vocabulary == row).all(1).any() for row in found)
        return found

    assert torch.equal(begun(1), begun(1)) and not torch.equal(begun(1), begun(2))


def test_only_the_prompt_and_the_head_move():
    model = tuned("prompt_tuning", "bert", "classification")[1]
    moving = {name for name, value in model.named_parameters() if value.requires_grad}
    head = {f"base_model.classifier.modules_to_save.default.{name}" for name in ("weight", "bias")}
    assert moving == {"prompt_encoder.default.embedding.weight", *head}


def test_a_row_that_leaves_no_room_for_virtual_tokens_is_an_error_that_says_what_to_set():
    model = tuned("prompt_tuning", "bert", "classification")[1]
    places = model.config.max_position_embeddings
    answers(model, "classification", together(rows(places - 5)))
    with pytest.raises(UsageError, match=rf"set data\.max_length={places - 5} or less"):
        answers(model, "classification", together(rows(places - 4)))


@pytest.mark.parametrize("strategy", ["prompt_tuning", "prefix_tuning"])
def test_a_model_that_counts_positions_from_its_padding_on_has_fewer(strategy):
    from transformers import AutoModelForMaskedLM, RobertaConfig

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    model = AutoModelForMaskedLM.from_config(
        RobertaConfig(vocab_size=60, max_position_embeddings=18, **sizes)
    )
    cls = Registry().find("strategy", strategy).load()
    adapted = cls(cls.Config(num_virtual_tokens=5)).adapt(model, context_of(model)).eval()
    answers(adapted, "masked", together(rows(11)))
    with pytest.raises(UsageError, match=r"set data\.max_length=11 or less"):
        answers(adapted, "masked", together(rows(12)))


@pytest.mark.parametrize("strategy", ["prompt_tuning", "prefix_tuning"])
def test_rows_that_are_packed_are_refused_before_the_model_loads(strategy):
    cls = Registry().find("strategy", strategy).load()
    head = Registry().find("head", "instruction").load()
    base = context_of(fresh("llama", "causal")).base
    assert "head.packing=false" in cls().why_incompatible(head(), base)
    assert cls().why_incompatible(head(head.Config(packing=False)), base) is None


@pytest.mark.parametrize("strategy", ["prompt_tuning", "prefix_tuning"])
def test_nonsense_is_an_error(strategy):
    cls = Registry().find("strategy", strategy).load()
    with pytest.raises(ValueError, match="num_virtual_tokens is 0"):
        cls.Config(num_virtual_tokens=0)
    assert not cls.capabilities.mergeable


def test_a_blank_text_is_an_error():
    with pytest.raises(ValueError, match="prompt_tuning_init_text is blank"):
        Registry().find("strategy", "prompt_tuning").load().Config(prompt_tuning_init_text="  ")
