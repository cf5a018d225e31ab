"""A start that is not felt: which modules are imported, not how long it takes."""

import json
import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.cli.first_step import modules_at_first_step, packages
from tests.cli.runs import tiny_words
from tests.security import forged
from tests.test_architecture import HEAVY
from tlplug.cli import main
from tlplug.config.choices import GROUPS, SWEEP_GROUPS, Choices
from tlplug.config.compose import Composer
from tlplug.interfaces import LoadOptions
from tlplug.models.loading import load_pretrained

COMPOSING = {"hydra", "omegaconf", "antlr4", "yaml"}

AT_FIRST_STEP = {
    # What we ask for.
    *"tlplug tlplug_conf tlplug_plugins hydra omegaconf antlr4 yaml rich".split(),
    *"click torch lightning transformers peft datasets pyarrow numpy tokenizers safetensors".split(),
    # torch._dynamo, which an optimizer of torch's imports as it is made.
    *"functorch torchgen sympy mpmath networkx".split(),
    # torch.cuda, which asks it for GPUs where it is installed.
    "pynvml",
    # torchmetrics, all of which Lightning imports; it imports scipy and matplotlib where they are installed.
    *"torchmetrics lightning_utilities scipy matplotlib mpl_toolkits PIL regex".split(),
    *"cycler dateutil fontTools kiwisolver pyparsing six".split(),
    # transformers and the hub's client.
    *"huggingface_hub httpx2 httpcore2 h11 anyio idna sniffio truststore trio outcome sortedcontainers".split(),
    *"accelerate jinja2 markupsafe charset_normalizer filelock psutil".split(),
    # peft.
    "bitsandbytes",
    # datasets, and pyarrow, which looks whether what it is given is of pandas.
    *"pandas dill multiprocess xxhash fsspec cloudpickle".split(),
    *"attr attrs google packaging tqdm typing_extensions".split(),
}
"""The packages of a run by its first step, by who brings them. A new one has to be worth its time."""


def imported_by(*words):
    """The exit code of a command, and the packages that it has imported by its end."""
    code, modules = modules_of(*words)
    return code, packages(modules)


def modules_of(*words):
    code = (
        "import json, sys; from tlplug.cli import main; code = main(sys.argv[1:])\n"
        "print(json.dumps([code, [*sys.modules]]))"
    )
    words = map(str, words)
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_imports_neither_torch_nor_hydra(word):
    code, found = imported_by(word)
    assert code == 0 and not found & (HEAVY | COMPOSING | {"numpy", "rich"})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["plugins", "list"], 0),
        (["strategy=lora", "task=sentiment", "--cfg", "job"], 0),
        (["plugins", "lsit"], 2),
        (["evalute", "RUN"], 2),
        (["+stratgey=x"], 2),
        (["strategy=lorra", "task=sentiment"], 2),
        (["strategy=lora", "task=sentiment", "trainer.max_epoch=2"], 2),
        (["strategy=lora", "task=sentiment", "trainer.max_epochs=many"], 2),
        (["strategy=lora", "task=sentiment", "--fast"], 2),
        (["-m", "strategy=lora,fulll", "task=sentiment"], 2),
        (["predict"], 2),
    ],
)
def test_light_commands_and_wrong_usage_import_no_torch(words, expected):
    code, found = imported_by(*words)
    assert code == expected and not found & HEAVY


@pytest.mark.slow
def test_a_run_has_imported_what_it_uses_by_its_first_step(tmp_path):
    modules = modules_at_first_step(tmp_path, "task=sentiment", "transfer.baselines=[]")
    found = packages(modules)
    assert {"torch", "lightning", "transformers", "peft"} <= found, "it came to its first step"
    assert found - AT_FIRST_STEP == set()
    assert "torch._inductor.compile_fx" not in modules, "torch's compiler, which nobody asked for"


@pytest.mark.slow
def test_predictions_come_without_what_trains_and_scores(tmp_path, tiny_folder, rows_folder):
    folder = tmp_path / "run"
    assert main([*tiny_words(tiny_folder, rows_folder), "transfer.baselines=[]", f"run_dir={folder}"]) == 0
    code, modules = modules_of("predict", folder, "--text", "a fine film")
    assert code == 0 and {"torch", "transformers", "peft"} <= set(modules)
    assert not set(modules) & {"lightning", "torchmetrics", "matplotlib", "torch._inductor.compile_fx"}
    code, modules = modules_of("evaluate", folder)
    assert code == 0 and "torchmetrics" in modules
    assert not set(modules) & {"lightning", "torch._inductor.compile_fx"}


def test_what_is_compiled_after_an_import_without_a_compiler_is_compiled():
    code = """
import os, torch
from tlplug.runtime.imports import DISABLE_DYNAMO, import_without_dynamo
os.environ[DISABLE_DYNAMO] = "0"
import_without_dynamo("peft")
assert os.environ[DISABLE_DYNAMO] == "0"
frames = []
def backend(graph, examples):
    frames.append(graph)
    return graph.forward
assert torch.compile(lambda x: x + 1, backend=backend)(torch.ones(1)) == 2 and len(frames) == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_help_shows_is_what_can_be_composed():
    with Composer() as composer:
        for group in (*GROUPS, *SWEEP_GROUPS):
            assert composer.choices(group) == composer.loader.get_group_options(group), group


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """Another distribution with presets, and one whose presets are not there."""
    folder = tmp_path / "theirs_conf" / "task"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("")
    (folder / "letters.yaml").write_text("# @package _global_\n# Whose letter is this?\ndefaults: [nli]\n")
    (folder / "notes.txt").write_text("no preset")
    forged.distribution(tmp_path, "theirs", "1.0", configs="theirs = theirs_conf")
    forged.distribution(tmp_path, "gone", "1.0", configs="gone = gone_conf")
    monkeypatch.syspath_prepend(tmp_path)


def test_presets_of_others_are_described_by_their_first_comment(theirs):
    told = Choices().describe("task").splitlines()
    assert [line.split(maxsplit=1)[1] for line in told if "letters" in line] == ["Whose letter is this?"]
    assert not any("notes" in line for line in told)
    test_what_help_shows_is_what_can_be_composed()


class Draws(TorchDispatchMode):
    """Counts the numbers that are drawn at random for weights that there are; `meta` has none."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in function.tags and out.device.type != "meta":
            self.numbers += out.numel()
        return out


def test_weights_that_are_loaded_are_not_drawn_at_random_first(tiny_base):
    from transformers import AutoModelForSequenceClassification

    with Draws() as draws:
        model = load_pretrained(AutoModelForSequenceClassification, tiny_base, LoadOptions(), num_labels=2)
    assert draws.numbers == model.classifier.weight.numel()
    with Draws() as draws:
        load_pretrained(AutoModelForSequenceClassification, tiny_base, LoadOptions(random_weights=True))
    assert draws.numbers > 10_000, "it counts"
