"""Checks of a plugin's class and Config, the same for strategies, heads and metrics. No model is needed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from tlplug.interfaces.registry import find_contract_errors, find_misspelt_names
from tlplug.testing.check import CheckFailure, join_names, require_importable

if TYPE_CHECKING:
    from typing import Protocol

    class Case(Protocol):
        kind_of_plugin: str
        plugin: type[Any]


HEAVY = ("torch", "transformers", "peft", "lightning", "datasets", "bitsandbytes", "torchmetrics", "wandb")
ODD: dict[type, tuple[Any, ...]] = {
    int: (-1, 10**9),
    float: (-1.0, float("nan"), float("inf")),
    str: ("", "no such word"),
    object: (-1, "", "no such word", [], {}),
}
"""Values that a user can type for a field of that type."""


def implements_contract(case: Case) -> None:
    """Check that the class has the contract's version, the required members and a Config that is not frozen."""
    if errors := list(find_contract_errors(case.plugin, case.kind_of_plugin)):
        raise CheckFailure("; ".join(errors))


def has_no_misspelt_names(case: Case) -> None:
    """Check that no method has a name that differs from a name of the contract by a letter or two."""
    if misspelt := list(find_misspelt_names(case.plugin, case.kind_of_plugin)):
        raise CheckFailure(f"{'; '.join(misspelt)} Rename a helper of your own, or start its name with _")


def has_docstring(case: Case) -> None:
    """Check that the class has a docstring whose first line fits into a list."""
    line = (vars(case.plugin).get("__doc__") or "").strip().split("\n")[0]
    if not line:
        raise CheckFailure("the class has no docstring; `plugins list` and `--help` show its first line")
    if len(line) > 100:
        raise CheckFailure(
            f"the first line of the docstring has {len(line)} characters; `plugins list` shows about 100"
        )


def imports_nothing_heavy(case: Case) -> None:
    """Check that importing the plugin's module alone imports no heavy library, such as torch."""
    module = require_importable(case.plugin)
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "known = set(sys.modules)\n"
        f"import importlib; importlib.import_module({module!r})\n"
        f"print(*({set(HEAVY)!r} & set(sys.modules) - known))"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if completed.returncode:
        raise CheckFailure(
            f"{module} cannot be imported by itself: {completed.stderr.strip().splitlines()[-1]}"
        )
    if heavy := completed.stdout.split():
        raise CheckFailure(
            f"importing {module} imports {join_names(heavy)}, which slows down `--help` and `plugins list`; "
            "import it in the methods that use it, or under TYPE_CHECKING"
        )


def config_is_typed(case: Case) -> None:
    """Check that each Config field has a default and a type that OmegaConf supports, and that unknown fields are errors."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config = case.plugin.Config
    if without_default := [
        f.name for f in fields(config) if f.default is MISSING and f.default_factory is MISSING
    ]:
        raise CheckFailure(
            f"Config has no default for {join_names(without_default)}; every field must have one"
        )
    try:
        schema = OmegaConf.structured(config)
    except (OmegaConfBaseException, ValueError) as error:
        raise CheckFailure(
            f"Config has a type that OmegaConf does not support: {str(error).splitlines()[0]}. Use plain types, lists, "
            "dicts, Optional or an Enum, or Any with a check in __post_init__"
        ) from error
    try:
        OmegaConf.merge(schema, {"no_such_field": 1})
    except OmegaConfBaseException:
        return
    raise CheckFailure("Config accepts an unknown field, so a misspelt field would be ignored")


def config_errors_are_readable(case: Case) -> None:
    """Check that Config accepts unusual values or rejects them by a ValueError with a sentence."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config = case.plugin.Config
    for field in fields(config):
        field_type = type(getattr(config(), field.name))
        for value in ODD[field_type] if field_type in (int, float, str) else ODD[object]:
            try:
                config_node = OmegaConf.merge(OmegaConf.structured(config), {field.name: value})
            except OmegaConfBaseException:
                continue  # OmegaConf reports a value of another type.
            try:
                OmegaConf.to_object(config_node)
            except (ValueError, TypeError) as error:
                _require_sentence(error, field.name, value)
            except Exception as error:
                raise CheckFailure(
                    f"Config({field.name}={value!r}) raises {type(error).__name__}, which the user sees as a "
                    "traceback; raise a ValueError with a sentence in __post_init__"
                ) from error


def _require_sentence(error: Exception, field: str, value: Any) -> None:
    if len(str(error).split()) < 3:
        raise CheckFailure(
            f"Config({field}={value!r}) raises an error with the message {str(error)!r}, which is too short: "
            "name the field, its value and the allowed values"
        ) from error
