"""Imports go one way, as docs/architecture.md shows."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE, PLUGINS = ROOT / "tlplug", ROOT / "plugins"
HEAVY = {"torch", "transformers", "peft", "lightning", "datasets", "wandb", "bitsandbytes", "torchmetrics"}

# A room -> the rooms it may import.
MAY_IMPORT = {
    "contracts": set(),
    "processes": set(),
    "secrets": set(),
    "cache": set(),
    "stopping": {"contracts"},
    "terminal": set(),
    "comparison": {"contracts"},
    "layers": set(),
    "registry": {"contracts"},
    "fit": {"contracts"},
    "choices": {"contracts", "registry"},
    "config": {"contracts", "secrets", "choices", "registry", "fit"},
    "precision": {"contracts"},
    "memory": set(),
    "base_model": {"contracts", "cache"},
    "data": {"contracts", "processes", "cache"},
    "dropout": set(),
    "imports": set(),
    "step_mean": {"contracts", "processes"},
    "predictions": {"contracts", "precision"},
    "module": {"contracts", "processes", "predictions", "step_mean"},
    "evidence": {"contracts", "cache", "layers", "precision", "base_model", "data", "predictions"},
    "energy": set(),
    "cost": {"module", "energy"},
    "curve": set(),
    "checkpoint": {"contracts", "processes", "cache", "stopping"},
    "trainer": {"contracts", "precision", "checkpoint"},
    "loggers": {"contracts", "cache", "secrets"},
    "report": {"contracts", "cache", "comparison", "evidence"},
    "run_directory": {"contracts", "cache"},
    "progress": {"run_directory"},
    "console": {"contracts"},
    "bar": {"cost", "report"},
    "launch": {"contracts", "processes", "run_directory", "trainer"},
    "plugin_list": {"contracts", "registry"},
    "scaffold": {"contracts", "registry"},
    "plugin_commands": {
        *("contracts", "registry", "finished", "plugin_list", "scaffold", "testing", "matrix"),
    },
    "testing": {
        *("contracts", "layers", "precision", "registry", "fit", "config", "base_model", "data", "module"),
        *("predictions", "evidence", "console", "frozen", "trainer", "training"),
    },
    "inference": {
        *("contracts", "cache", "comparison", "precision", "imports", "config", "base_model", "data"),
        *("predictions", "evidence", "report", "run_directory"),
    },
    "matrix": {"contracts", "registry", "fit", "testing"},
    "failures": {"contracts", "module", "precision", "processes"},
    "frozen": {"contracts", "cache", "data", "module", "precision", "processes"},
    "training": {
        *(
            "contracts",
            "layers",
            "precision",
            "dropout",
            "imports",
            "cost",
            "curve",
            "checkpoint",
            "trainer",
            "data",
            "module",
            "predictions",
        ),
        *("failures", "frozen"),
    },
    "prepare": {"contracts", "config", "inference", "data", "console", "training"},
    "outcomes": {
        *("contracts", "cache", "processes", "precision", "data", "checkpoint", "trainer", "frozen"),
        "training",
    },
    "baselines": {"contracts", "checkpoint", "frozen", "training", "outcomes"},
    "run_trainings": {
        *("contracts", "config", "base_model", "evidence", "checkpoint", "stopping", "progress", "console"),
        *("bar", "launch", "training", "baselines"),
    },
    "judgement": {
        *("contracts", "secrets", "comparison", "config", "evidence", "report", "run_directory", "training"),
    },
    "begin": {"config", "report", "run_directory", "secrets"},
    "run": {
        *("contracts", "secrets", "stopping", "config", "precision", "data", "evidence", "checkpoint"),
        *("loggers", "report", "run_directory", "progress", "console", "launch", "failures", "prepare"),
        *("training", "run_trainings", "judgement", "begin"),
    },
    "compare": {
        *("contracts", "cache", "comparison", "processes", "precision", "memory", "config", "data", "module"),
        *("cost", "trainer", "report", "run_directory", "console", "launch", "frozen", "prepare", "training"),
        *("bar", "outcomes"),
    },
    "rank": {
        *("contracts", "cache", "processes", "layers", "precision", "memory", "registry", "config", "data"),
        *(
            "evidence",
            "report",
            "run_directory",
            "console",
            "bar",
            "launch",
            "inference",
            "frozen",
            "prepare",
        ),
        "outcomes",
    },
    "gather": {"contracts", "cache", "comparison", "evidence", "report", "run_directory"},
    "finished": {"contracts", "config", "run_directory", "console", "inference", "report", "gather"},
    "resume": {
        *(
            "contracts",
            "secrets",
            "terminal",
            "config",
            "run_directory",
            "launch",
            "begin",
            "finished",
            "run",
        ),
    },
    "sweep": {
        *(
            "contracts",
            "cache",
            "stopping",
            "config",
            "run_directory",
            "report",
            "begin",
            "gather",
            "secrets",
        ),
    },
    "cli": {
        *("contracts", "stopping", "terminal", "config", "run", "compare", "rank", "resume", "sweep"),
        *("finished", "plugin_commands", "choices"),
    },
    "__main__": {"cli"},
}
LIGHT = [
    *(
        "contracts",
        "secrets",
        "stopping",
        "registry",
        "choices",
        "config",
        "cli",
        "finished",
        "resume",
        "plugin_list",
    ),
    *("plugin_commands", "scaffold"),
]


def files(folder):
    return sorted(folder.rglob("*.py"))


def imported(path, top_level_only=False):
    """Dotted names of the modules that a file imports, those under TYPE_CHECKING left out of the top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "tlplug":
                yield from (f"tlplug.{alias.name}" for alias in node.names)
            else:
                yield node.module


def room(path):
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def test_every_room_is_in_the_table():
    assert {room(path) for path in files(CORE)} - {"__init__"} == set(MAY_IMPORT)


@pytest.mark.parametrize("path", files(CORE), ids=lambda path: str(path.relative_to(ROOT)))
def test_core_imports_go_one_way(path):
    own = room(path)
    for name in imported(path):
        parts = name.split(".")
        assert parts[0] not in ("tlplug_plugins", "plugins"), f"the core imports a plugin: {name}"
        if parts[0] != "tlplug" or own == "__init__" or len(parts) == 1 or parts[1] in (own, "__version__"):
            continue
        assert parts[1] in MAY_IMPORT[own], f"{path} imports {name}"


@pytest.mark.parametrize("path", files(PLUGINS), ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_import_public_names_only(path):
    import tlplug

    kind = path.relative_to(PLUGINS).parts[0]
    for name in imported(path):
        if name.startswith("tlplug."):
            assert name.removeprefix("tlplug.") in tlplug.__all__, f"{path} imports {name}"
        if name.startswith("tlplug_plugins."):
            assert name.split(".")[1] == kind, f"{path} imports from another kind: {name}"


@pytest.mark.parametrize(
    "path",
    [path for path in files(CORE) if room(path) in LIGHT]
    + [path for path in files(PLUGINS) if "modules" not in path.parts],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_nothing_heavy_at_module_level(path):
    assert not HEAVY & {name.split(".")[0] for name in imported(path, top_level_only=True)}


def test_packages_are_all_listed_for_the_wheel():
    import tomllib

    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    homes = {"tlplug": CORE, "tlplug_plugins": PLUGINS, "tlplug_conf": ROOT / "conf"}
    expected = {
        ".".join([name, *init.parent.relative_to(home).parts])
        for name, home in homes.items()
        for init in home.rglob("__init__.py")
    }
    assert set(setuptools["packages"]) == expected
