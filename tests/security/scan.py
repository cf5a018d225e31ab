"""Finds in Python source what could run code that a file brings: loads of pickles, `eval`, a shell, archives."""

import ast
from collections.abc import Iterator

PICKLES = {"pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
LOADS = {"load", "loads", "Unpickler", "open"}
NEVER = {
    *("eval", "exec", "compile", "unsafe_load", "full_load", "load_pickle", "read_pickle", "extractall"),
    *("unpack_archive", "get_class", "get_object", "get_method", "instantiate", "import_string"),
}
"""Names that are not called, whatever they are called on: `yaml.unsafe_load`, `hydra.utils.instantiate`."""
TRUSTING = {"trust_remote_code"}
"""Keyword arguments that are never a literal True."""


def findings(source: str) -> Iterator[str]:
    """`line: what is wrong`, of each call that is."""
    tree = ast.parse(source)
    modules = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (told := wrong(node, modules)):
            yield f"{node.lineno}: {told}"
        if isinstance(node, ast.Constant) and node.value == "_target_":
            yield f"{node.lineno}: _target_"


def aliases(tree: ast.AST) -> dict[str, str]:
    """Local name -> dotted name of what was imported under it."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(n.asname or n.name.partition(".")[0]): n.name for n in node.names if n.asname} | {
                n.name.partition(".")[0]: n.name.partition(".")[0] for n in node.names if not n.asname
            }
        if isinstance(node, ast.ImportFrom):
            found |= {n.asname or n.name: f"{node.module}.{n.name}" for n in node.names}
    return found


def dotted(node: ast.expr, modules: dict[str, str]) -> str:
    """`np.load` -> `numpy.load`; of what is computed, the last names alone."""
    if isinstance(node, ast.Name):
        return modules.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, modules)}.{node.attr}"
    return "?"


def wrong(call: ast.Call, modules: dict[str, str]) -> str | None:
    name = dotted(call.func, modules)
    package, last = name.partition(".")[0], name.rpartition(".")[2]
    given = {k.arg: k.value for k in call.keywords}
    if package in PICKLES and last in LOADS:
        return name
    if last in NEVER and not safe_use(name):
        return name
    if name in ("torch.load", "torch.jit.load", "torch.package.PackageImporter"):
        return None if is_constant(given.get("weights_only"), True) else f"{name} without weights_only=True"
    if name == "yaml.load":
        return name
    if given.get("allow_pickle") is not None and not is_constant(given["allow_pickle"], False):
        return f"{name} with allow_pickle"
    if given.get("weights_only") is not None and is_constant(given["weights_only"], False):
        return f"{name} with weights_only=False"
    if given.get("shell") is not None and not is_constant(given["shell"], False):
        return f"{name} with shell"
    if any(is_constant(given.get(key), True) for key in TRUSTING):
        return f"{name} trusts code that is downloaded"
    return "os.system" if name in ("os.system", "os.popen") else None


def safe_use(name: str) -> bool:
    """`re.compile`, `model.compile` and `model.eval` make no code of text."""
    return name.endswith((".compile", ".eval"))


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
