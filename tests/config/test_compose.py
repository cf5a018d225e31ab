"""What a command line means, and the errors for what it does not."""

import sys
from dataclasses import fields
from functools import cache

import pytest

from tlplug.config.choices import GROUPS
from tlplug.config.compose import Composer
from tlplug.config.job import build
from tlplug.config.keys import check_keys, key_paths
from tlplug.config.overrides import parse
from tlplug.errors import UsageError
from tlplug.settings import OPEN, TrainerSettings

BASIC = ["strategy=lora", "task=sentiment"]


@pytest.fixture(scope="module")
def composer():
    with Composer() as found:
        yield found


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_all_signs_mean_the_same(composer, sign):
    words = [
        f"{sign}strategy=qlora",
        f"{sign}task=sentiment",
        f"{sign}seed=7",
        f"{sign}data.columns.text=review",
    ]
    config = composer.compose(words)
    assert (config.strategy.name, config.task, config.seed) == ("qlora", "sentiment", 7)
    assert config.data.columns.text == "review"


@pytest.mark.parametrize("key", ["transfer.source_domain", "data.target_domain"])
def test_a_domain_may_be_a_data_preset_and_what_is_typed_beside_it_stands(composer, key):
    from omegaconf import OmegaConf

    config = composer.compose([*BASIC, f"{key}=beekeeping"])
    preset = composer.compose([*BASIC, "data=beekeeping"]).data
    found = OmegaConf.select(config, key)
    assert (found.path, dict(found.columns)) == (preset.path, dict(preset.columns))
    other = OmegaConf.select(
        composer.compose([*BASIC, f"{key}=sst2", f"{key}.columns.text=review", f"{key}.test=mine.jsonl"]), key
    )
    assert (other.path, other.columns.text, other.test) == ("stanfordnlp/sst2", "review", "mine.jsonl")
    assert OmegaConf.select(composer.compose([*BASIC, f"{key}=./beekeeping"]), key).path == "./beekeeping"


def test_a_preset_is_spelt_out_for_a_finished_run(composer):
    words = composer.spelt_out(["transfer.source_domain=topic", "evidence.max_rows=8"])
    assert words[0] == "transfer.source_domain.path=pkg://tlplug_conf/corpora/topic"
    assert "transfer.source_domain.columns.text=text" in words and words[-1] == "evidence.max_rows=8"


def test_words_that_are_right_are_composed_once(composer, monkeypatch):
    composed = []
    whole = composer._compose
    monkeypatch.setattr(composer, "_compose", lambda lines: composed.append(lines) or whole(lines))
    assert composer.compose([*BASIC, "strategy.r=4", "data.columns.text=review"]).strategy.r == 4
    assert len(composed) == 1


def test_a_key_below_a_node_that_is_set_to_null_is_there(composer):
    words = [*BASIC, "transfer.source_domain.path=x", "transfer.source_domain=null"]
    assert composer.compose(words).transfer.source_domain.path is None


def test_groups_can_be_exchanged_over_a_preset(composer):
    config = composer.compose([*BASIC, "data=sst2", "metric=[cost]", "logger=[csv,wandb]", "trainer=ddp"])
    assert config.data.columns.text == "sentence"
    assert list(config.metric) == ["cost"] and list(config.logger) == ["csv", "wandb"]
    assert config.trainer.strategy == "ddp"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "say strategy=... and task=..."),
        (["task=sentiment"], "low-rank updates"),
        (["strategy=lora"], "for or against"),
        (["+stratgey=qlora", "task=sentiment"], "Did you mean 'strategy'"),
        (["strategy=qlroa", "task=sentiment"], "Did you mean 'qlora'"),
        (["strategy=lora", "task=sentimet"], "Did you mean 'sentiment'"),
        ([*BASIC, "strategy.lora_alhpa=4"], "Did you mean 'strategy.lora_alpha'"),
        ([*BASIC, "+strategy.lora_alhpa=4"], "Did you mean 'strategy.lora_alpha'"),
        ([*BASIC, "++trainer.max_epoch=4"], "Did you mean 'trainer.max_epochs'"),
        ([*BASIC, "strategy.r=many"], "strategy.r=many"),
        ([*BASIC, "trainer.max_epochs=1.5"], "trainer.max_epochs"),
        ([*BASIC, "strategy.name=full"], "no key 'strategy.name'"),
        ([*BASIC, "seed=1,2"], "add -m"),
        ([*BASIC, "seed=[1"], "'seed=[1': Value '[1'"),
        ([*BASIC, "evaluate"], "neither a command nor key=value"),
        ([*BASIC, "metric=[cots]"], "Did you mean 'cost'"),
        ([*BASIC, "~seed"], "'~seed' takes a key away; seed=... gives it another value"),
        (
            [*BASIC, "~strategy.r"],
            "'~strategy.r' takes a key away; strategy.r=... gives it another value",
        ),
        ([*BASIC, "~transfer"], "'~transfer' takes a key away"),
        ([*BASIC, "~strategy=lora"], "'~strategy=lora' takes a choice away; strategy=... makes another"),
        ([*BASIC, "~transfre"], "Did you mean 'transfer'"),
        ([*BASIC, "~logger"], "logger=... makes another"),
        ([*BASIC, "model.adapter=outputs/run"], "there is no key 'model.adapter'"),
        ([*BASIC, "data.target=far.jsonl"], "Did you mean 'data.target_domain'"),
        ([*BASIC, "checkpoint.keep=2"], "Did you mean 'checkpoint.keep_last'"),
        ([*BASIC, "data.batch_tokens=4096"], "tokens_per_batch"),
        ([*BASIC, "strategy.rank=16"], "Did you mean 'strategy.r'"),
        ([*BASIC, "strategy.dropout=0"], "Did you mean 'strategy.lora_dropout'"),
        ([*BASIC, "evidence.rwos=1,2"], "Did you mean 'evidence.max_rows'"),
        ([*BASIC, "data.splits={a: 1}", "data.splits.a=2"], "there is no key 'data.splits.a'"),
        ([*BASIC, "strategy.preset=dora"], "there is no key 'strategy.preset'"),
        ([*BASIC, "logger.csv.folder=x"], "logger.csv.folder"),
        ([*BASIC, "strategy._target_=os.system"], "no key 'strategy._target_'"),
    ],
)
def test_wrong_words_get_one_clear_error(composer, words, says):
    with pytest.raises(UsageError) as error:
        composer.compose(words)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["strategy.r=0"], "r is 0"),
        (["strategy.lora_dropout=1.0"], "lora_dropout is 1.0"),
        (["strategy.target_modules=5"], "target_modules is 5"),
        (["data=files"], "data.path has no value"),
        (["model=custom"], "model.source has no value"),
        (["data.batching=token"], "data.batching is 'token'; it is one of: tokens, rows"),
        (["data.num_workers=-1"], "data.num_workers is -1; it is a number of processes from 0 on"),
        (["data.tokens_per_batch=0"], "data.tokens_per_batch is 0; it is a number of tokens from 1 on"),
        (
            ["data.batching=rows", "data.tokens_per_batch=64"],
            "data.tokens_per_batch=64 needs data.batching=tokens, but that is rows",
        ),
        (
            ["trainer.limit_train_batches=[4]"],
            "trainer.limit_train_batches is [4]; it is a number of batches",
        ),
        (["trainer.limit_val_batches=all"], "trainer.limit_val_batches is 'all'; it is a number of batches"),
        (["transfer.baselines=[scrtach]"], "Did you mean 'scratch'"),
        (["metric.transfer_gain.resamples=3"], "from 100 to a million"),
    ],
)
def test_values_of_no_use_are_found_before_anything_loads(composer, words, says):
    with pytest.raises(UsageError) as error:
        build(composer.compose([*BASIC, *words]))
    assert says in str(error.value)


def test_a_job_has_the_plugins_objects_and_typed_settings(composer):
    job = build(composer.compose([*BASIC, "strategy.r=3", "transfer.baselines=[trivial,scratch]"]))
    assert job.strategy.config.r == 3 and job.strategy.config.lora_alpha == 16.0
    assert job.baselines["trivial"] is None and type(job.baselines["scratch"]).__name__ == "Scratch"
    assert isinstance(job.trainer, TrainerSettings) and job.trainer.max_epochs > 0
    assert [plugin.name for plugin in job.plugins][:2] == ["lora", "classification"]


def test_a_class_that_is_not_packaged_is_chosen_by_its_dotted_path(composer, tmp_path, monkeypatch):
    (tmp_path / "mine_here.py").write_text(
        "from dataclasses import dataclass\n"
        "from tlplug import OptimizerSettings, Strategy\n"
        "class Mine(Strategy):\n"
        "    contract = 1\n"
        "    optimizer_defaults = OptimizerSettings(1e-3, 0.0, 'linear', 0.0)\n"
        "    @dataclass\n"
        "    class Config:\n"
        "        depth: int = 2\n"
        "    def adapt(self, model, context):\n"
        "        return model\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    job = build(composer.compose(["strategy=mine_here.Mine", "task=sentiment", "strategy.depth=5"]))
    assert job.strategy.config.depth == 5
    sys.modules.pop("mine_here")


def one_edit(word):
    """The word with its last two letters exchanged, or one doubled where they are the same."""
    swapped = word[:-2] + word[:-3:-1]
    return swapped if swapped != word else word + word[-1]


def keys_of(composer, strategy, task, *words):
    return key_paths(composer.compose([f"strategy={strategy}", f"task={task}", *words]))


def every_key():
    with Composer() as composer:
        choices = {group: composer.choices(group) for group in GROUPS}
        whole = [f"metric=[{','.join(choices['metric'])}]", f"logger=[{','.join(choices['logger'])}]"]
        # Keys of a strategy are asked of each strategy, those of a head of each task, all others once.
        keys = {("lora", "sentiment", key) for key in keys_of(composer, "lora", "sentiment", *whole)}
        for strategy in choices["strategy"]:
            found = keys_of(composer, strategy, "sentiment", "metric=[]")
            keys |= {(strategy, "sentiment", key) for key in found if key.startswith("strategy.")}
        for task in choices["task"]:
            found = keys_of(composer, "lora", task, "metric=[]")
            keys |= {("lora", task, key) for key in found if key.startswith("head.")}
        return sorted(keys), choices


KEYS, CHOICES = every_key()


@pytest.fixture(scope="module")
def plain(composer):
    """The config of a strategy and a task, with all metrics and loggers there are."""
    several = [f"{group}=[{','.join(CHOICES[group])}]" for group in ("metric", "logger")]
    return cache(lambda strategy, task: composer.compose([f"strategy={strategy}", f"task={task}", *several]))


def misspelt(key):
    parent, _, last = key.rpartition(".")
    return ".".join(part for part in (parent, one_edit(last)) if part)


@pytest.mark.parametrize(
    ("strategy", "task", "key"), [key for key in KEYS if not key[2].startswith(OPEN)], ids=lambda value: value
)
def test_every_key_misspelt_by_one_edit_is_an_error(plain, strategy, task, key):
    wrong = misspelt(key)
    with pytest.raises(UsageError, match=f"there is no key '{wrong}'"):
        check_keys(parse([f"{wrong}=1"]), plain(strategy, task))


ONE_OF_EACH_NODE = {(strategy, task, key.rpartition(".")[0]): key for strategy, task, key in KEYS}


@pytest.mark.parametrize(("node", "key"), ONE_OF_EACH_NODE.items(), ids=str)
def test_a_misspelt_key_of_every_node_is_an_error_of_the_whole_line(composer, node, key):
    with pytest.raises(UsageError):
        job = composer.compose([f"strategy={node[0]}", f"task={node[1]}", f"+{misspelt(key)}=1"])
        # Columns are the head's to check, once it is known.
        from tlplug.data.read import read_splits

        read_splits(build(job).data, build(job).head.columns)


@pytest.mark.parametrize(("group", "choice"), [(group, name) for group in GROUPS for name in CHOICES[group]])
def test_every_choice_misspelt_by_one_edit_is_an_error(composer, group, choice):
    wrong = f"[{one_edit(choice)}]" if group in ("metric", "logger") else one_edit(choice)
    others = [word for word in BASIC if not word.startswith(f"{group}=")]
    with pytest.raises(UsageError, match=f"Did you mean '{choice}'"):
        composer.compose([*others, f"{group}={wrong}"])


@pytest.mark.parametrize("choice", [f"{g}={c}" for g in ("data", "model", "trainer") for c in CHOICES[g]])
def test_every_shipped_choice_composes(composer, choice):
    assert composer.compose([*BASIC, choice])


def test_trainer_keys_are_arguments_of_lightning_with_its_defaults_but_ours():
    import inspect

    from lightning import Trainer

    theirs = inspect.signature(Trainer.__init__).parameters
    ours = {field.name: field.default for field in fields(TrainerSettings)}
    assert set(ours) <= set(theirs)
    differs = {name for name, value in ours.items() if value != theirs[name].default}
    assert differs == {"precision", "max_epochs", "log_every_n_steps", "gradient_clip_val"}


def test_composing_does_not_load_torch():
    import subprocess

    code = (
        "import sys; from tlplug.config.compose import Composer\n"
        "from tlplug.config import job, metric_options, plugin_versions, reopen\n"
        "from tlplug import settings\n"
        "from tlplug.commands.sweep import options\n"
        "with Composer() as c: c.compose(['strategy=qlora', 'task=sentiment'])\n"
        "assert not {'torch', 'transformers', 'lightning', 'peft', 'datasets', 'wandb'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("word", ["logger=null", "data=null", "task=my.own"])
def test_a_choice_that_is_none_is_an_error(composer, word):
    with pytest.raises(UsageError, match="there is no"):
        composer.compose([*[w for w in BASIC if w.split("=")[0] != word.split("=")[0]], word])


def test_a_metric_is_chosen_by_its_dotted_path(composer, tmp_path, monkeypatch):
    (tmp_path / "my_metric.py").write_text(
        "from tlplug import TransferMetric\n"
        "class Mine(TransferMetric):\n"
        "    contract = 1\n"
        "    def measure(self, evidence):\n"
        "        return {'rows': float(len(evidence['ids']))}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    job = build(composer.compose([*BASIC, "metric=[my_metric.Mine,cost]"]))
    assert list(job.metrics) == ["Mine", "cost"]
    sys.modules.pop("my_metric")
