"""Imports go one way, as the table of docs/architecture.md has it."""

import ast
import re
import tomllib

import pytest

from tests.structure import CORE, PLUGINS, ROOT, allowed, circle, files, graph, imported, module_file, wing

HEAVY = {"torch", "transformers", "peft", "lightning", "datasets", "wandb", "bitsandbytes", "torchmetrics"}
LIGHT = {"errors", "settings", "interfaces", "config", "cli", "__main__"}
LIGHT_COMMANDS = {
    "arguments",
    "train",
    "finished_runs",
    "choose",
    "completion",
    "command_plan",
    "compare/plan",
    "rank/plan",
    "plugins/commands",
    "plugins/scaffold",
}
EVIDENCE_PARTS = {"cost"}
"""Names of built-in plugins that are evidence, or parts of a report, as well."""
LIGHT_RUNTIME = {"secrets", "signals"}
EXPORTING = {CORE, CORE / "interfaces", CORE / "testing"}
"""Packages whose `__init__.py` exports names; the others' is empty."""
TORCH_PARTS = {
    *("strategies/layers", "strategies/callbacks", "strategies/feature_alignment/distances.py"),
    *("heads/generation/packing.py", "heads/generation/generate.py", "heads/generation/likelihood.py"),
    "heads/generation/masking.py",
}
"""Parts of plugins that are torch modules or work on tensors: a plugin file imports them where it uses them."""


def name(path):
    return str(path.relative_to(ROOT))


def is_light(path):
    if wing(path) == "commands":
        return str(path.relative_to(CORE / "commands").with_suffix("")) in LIGHT_COMMANDS
    if wing(path) == "runtime":
        return path.stem in LIGHT_RUNTIME
    return wing(path) in LIGHT


def is_torch_part(path):
    inside = path.relative_to(PLUGINS)
    return any(str(part) in TORCH_PARTS for part in (inside, *inside.parents))


def test_every_wing_is_in_the_table():
    assert {wing(path) for path in files(CORE)} - {"__init__"} == set(allowed())


def test_no_row_of_the_table_allows_more_than_is_used_by_a_wing_below_it():
    order = list(allowed())
    for row, others in allowed().items():
        assert others <= set(order[: order.index(row)]), row


@pytest.mark.parametrize("path", files(CORE), ids=name)
def test_core_imports_go_one_way(path):
    own = wing(path)
    for imports in imported(path):
        assert imports.split(".")[0] not in ("tlplug_plugins", "plugins"), (
            f"the core imports a plugin: {imports}"
        )
        other = module_file(imports)
        if other is None or own == "__init__" or other == CORE / "__init__.py" or wing(other) == own:
            continue
        assert wing(other) in allowed()[own], f"{path} imports {imports}"


def strings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {part for node in nodes if isinstance(node.value, str) for part in node.value.split("/")}


@pytest.mark.parametrize("path", files(CORE), ids=name)
def test_the_core_names_no_plugin(path):
    """Which plugins are the usual ones stands in conf/; the kit's evidence has baselines by their usual names."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    plugins = {plugin for group in groups if group.startswith("tlplug.") for plugin in groups[group]}
    if path != CORE / "testing" / "metric_case.py":
        assert not strings(path) & (plugins - EVIDENCE_PARTS)


def test_no_file_imports_itself_by_way_of_others():
    assert circle(graph()) == []


@pytest.mark.parametrize("path", [path for path in files(CORE) if path.name == "__init__.py"], ids=name)
def test_package_faces_are_empty(path):
    if path.parent not in EXPORTING:
        assert imported(path) == ()


@pytest.mark.parametrize("path", files(PLUGINS), ids=name)
def test_plugins_import_public_names_only(path):
    import tlplug

    kind = path.relative_to(PLUGINS).parts[0]
    for imports in imported(path):
        if imports.startswith("tlplug."):
            assert imports.removeprefix("tlplug.") in tlplug.__all__, f"{path} imports {imports}"
        if imports.startswith("tlplug_plugins."):
            assert imports.split(".")[1] == kind, f"{path} imports from another kind: {imports}"


@pytest.mark.parametrize(
    "path",
    [path for path in files(CORE) if is_light(path)]
    + [path for path in files(PLUGINS) if not is_torch_part(path)],
    ids=name,
)
def test_nothing_heavy_at_module_level(path):
    assert not HEAVY & {imports.split(".")[0] for imports in imported(path, top_level_only=True)}


PRIVATE = re.compile(r"(?<!self)(?<!cls)\._(?!_)(?!foreach|exit)[a-z]\w*|\b\w+\._internal\b")
OWN_PRIVATE = re.compile(r"^ *(?:def|async def) (_\w+)|\b(?:self|cls)\.(_\w+)|^ *(_\w+)[:=]", re.MULTILINE)


@pytest.mark.parametrize("path", [*files(CORE), *files(PLUGINS)], ids=name)
def test_private_names_of_libraries_are_in_one_file(path):
    """A private attribute that the file itself does not define is another's."""
    if path == CORE / "runtime" / "compat.py":
        return
    text = path.read_text(encoding="utf-8")
    own = {found for names in OWN_PRIVATE.findall(text) for found in names if found}
    assert not {found for found in PRIVATE.findall(text) if found.lstrip(".") not in own}


def arguments(function):
    """The names of a function's arguments, without `self` and `cls`."""
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [argument.arg for argument in given if argument.arg not in ("self", "cls")]


def hides_arguments(node):
    """Whether a call has a tuple or a list written out after a star: `f(*(a, b))`."""
    starred = [argument.value for argument in node.args if isinstance(argument, ast.Starred)]
    return any(isinstance(value, ast.Tuple | ast.List) for value in starred)


@pytest.mark.parametrize("path", [*files(CORE), *files(PLUGINS)], ids=name)
def test_functions_have_at_most_six_arguments_each_of_them_visible(path):
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [node.name for node in functions if len(arguments(node)) > 6] == []
    assert [node.lineno for node in nodes if isinstance(node, ast.Call) and hides_arguments(node)] == []


@pytest.mark.parametrize("kind", ["heads", "metrics", "strategies"])
def test_the_top_of_a_kind_lists_its_plugins_and_nothing_else(kind):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = project["entry-points"][f"tlplug.{kind}"]
    expected = {value.partition(":")[0].rpartition(".")[2] for value in points.values()}
    assert {path.stem for path in (PLUGINS / kind).glob("*.py")} - {"__init__"} == expected


def test_packages_are_all_listed_for_the_wheel():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    homes = {"tlplug": CORE, "tlplug_plugins": PLUGINS, "tlplug_conf": ROOT / "conf"}
    expected = {
        ".".join([package, *init.parent.relative_to(home).parts])
        for package, home in homes.items()
        for init in home.rglob("__init__.py")
    }
    assert set(setuptools["packages"]) == expected
