"""Words of a command line: of the real grammar, mutated, and noise."""

from dataclasses import fields
from functools import cache

from hypothesis import strategies as st

from tlplug.config.compose import GROUPS, SWEEP_GROUPS, Composer
from tlplug.config.keys import key_paths
from tlplug.interfaces.registry import KINDS, Registry

FLAGS = ["-m", "--multirun", "--cfg", "--dry-run", "--help", "-h", "--version", "--config-dir=/", "--resolve"]
FLAGS += ["--", "-", "--cfg=job", "--trust", "-1", "--hydra-help", "-p", "--info", "--\u2028"]
COMMANDS = ["train", "compare", "rank", "resume", "evaluate", "predict", "export", "metrics", "report"]
NUMBERS = [
    "1e400",
    "-1e400",
    "nan",
    "-nan",
    "inf",
    "-1",
    "0",
    "1",
    "1.5",
    "9" * 30,
    "-" + "9" * 30,
    "9" * 5000,
]
NUMBERS += ["1e-400", "0x10", "1_000", "٣", "+1", "-0.0", "00", "1e", "2147483648"]
OTHERS = [
    "",
    "null",
    "None",
    "~",
    "true",
    "No",
    "'",
    '"',
    "''",
    '"x',
    "[",
    "]",
    "[]",
    "[[]]",
    "[null]",
    "{}",
    "{",
]
OTHERS += [
    "{a:1}",
    "{a:{b:[1]}}",
    "{1:2}",
    "{?:}",
    "[a,b]",
    "[1,a,null]",
    ",",
    ",,",
    "a,",
    ",a",
    "\\",
    "\\,",
    "=",
    "a=b",
]
OTHERS += [
    "${",
    "${}",
    "${oc.env:HOME}",
    "${oc.env:NOT_THERE}",
    "${hydra:runtime.cwd}",
    "${seed}",
    "${run_dir}",
]
OTHERS += [
    "${nothing}",
    "${now:%Y}",
    "$HOME",
    "${oc.decode:x}",
    "${data.path}",
    "???",
    "\\${seed}",
    "${${seed}}",
]
OTHERS += [
    "glob(*)",
    "glob(",
    "glob(s*,exclude=x)",
    "range(1,3)",
    "range(0,1e9)",
    "range(1,2,0)",
    "choice(1,2)",
]
OTHERS += [
    "choice()",
    "shuffle(1,2)",
    "sort(2,1)",
    "interval(0,1)",
    "tag(x,1)",
    "int(1.5)",
    "str([1])",
    "float(x)",
]
OTHERS += ["json_str({a:1})", "extend_list(1)", "nope(1)", "cast(", "int(nan)", "bool(maybe)", "sort(1,a)"]
OTHERS += [
    "ü",
    "日本",
    "\u202e",
    "\x00",
    "a\x00b",
    "\n",
    "a\nb",
    "\t",
    "\r",
    "\ud800",
    "\udcff",
    "\ufeff",
    "🏳️‍🌈",
    "\x1b[31m",
    "%s",
]
OTHERS += [
    "x" * 5000,
    "a/" * 400,
    "../..",
    ".",
    "..",
    "/",
    "~nobody/x",
    "pkg://",
    "pkg://json/x",
    "pkg://a.b/c",
    "*",
    "**/*",
]
OTHERS += [
    "http://x",
    "hf://x",
    "file:///etc",
    "a.b",
    ".a",
    "a.",
    "os.path",
    "json.JSONDecoder",
    "tlplug.Strategy",
    "lora",
]
OTHERS += [
    "trivial",
    "[trivial,trivial]",
    "[lora,lora]",
    "[rank]",
    "auto",
    "@",
    "a@b",
    "[/dev/null]",
    "name",
    "preset",
]
KEYS = [
    "hydra.run.dir",
    "hydra/launcher",
    "hydra.verbose",
    "hydra.job.chdir",
    "hydra",
    "hydra.searchpath",
    "hydra/output",
]
KEYS += [
    "strategy@x",
    "strategy@strategy",
    "task@_global_",
    "data@data.target_domain",
    "strategy.name",
    "task.name",
    "metric.name",
]
KEYS += [
    "_target_",
    "strategy._target_",
    "defaults",
    "",
    ".",
    "a.b.c",
    "data.columns.a.b",
    "data.columns.",
    "data.columns.a b",
]
KEYS += [
    "data.columns",
    "strategy/lora",
    "data.target_domain",
    "transfer.source_domain",
    "seed.x",
    "data..path",
    "data.splits[0]",
    "seed[0]",
]
KEYS += [
    "run_dir.x",
    "metric.cka.x",
    "logger.csv",
    "logger.csv.name",
    "logger.wandb.project",
    "override strategy",
    "\x00",
]
MULTIRUN = [
    "sweep",
    "launcher",
    "sweep.max_parallel",
    "sweep.resume",
    "sweep.n_trials",
    "sweep.x",
    "sweep.name",
    "sweep.retries",
]
MULTIRUN += [
    "launcher.partition",
    "launcher.name",
    "launcher.x",
    "launcher.devices",
    "sweep.space",
    "sweep.pruner",
]
MULTIRUN += ["launcher.gpus", "sweep.storage", "sweep.seed", "sweep.direction"]


@cache
def grammar():
    """Group -> names that can be chosen in it, and every key that is there."""
    registry = Registry()
    with Composer() as composer:
        chosen = {group: composer.choices(group) for group in (*GROUPS, *SWEEP_GROUPS)}
        config = composer.compose(
            ["strategy=lora", "task=sentiment", "metric=[cka,knn]", "logger=[csv,wandb]"]
        )
    keys = {*key_paths(config)}
    for kind in KINDS:
        for name in registry.names(kind):
            node = f"metric.{name}" if kind == "metric" else kind
            keys |= {f"{node}.{field.name}" for field in fields(registry.find(kind, name).load().Config)}
    return chosen, sorted(keys)


def names():
    """What can be chosen in any group, as a value."""
    return st.sampled_from(sorted({name for found in grammar()[0].values() for name in found}))


def noise():
    return st.text(st.characters(), max_size=12) | st.text("=+~${}[]()'\",.@:\\-*/ a1", max_size=16)


def values():
    """A value of any type, or of none."""
    one = st.sampled_from(NUMBERS) | st.sampled_from(OTHERS) | names() | st.integers().map(str) | noise()
    several = st.lists(one, min_size=1, max_size=3)
    return st.one_of(one, one, one, several.map(",".join), several.map(lambda found: f"[{','.join(found)}]"))


@st.composite
def keyed(draw, keys=()):
    """`key=value`: of a group, of a config, or of neither."""
    sign = draw(st.sampled_from(["", "", "", "+", "++", "~", "+++", "~+", " "]))
    kind = draw(st.sampled_from("gkkko"))
    if kind == "g":
        group = draw(st.sampled_from(GROUPS))
        value = draw(st.sampled_from(grammar()[0][group]) | values())
        return f"{sign}{group}={value}"
    key = draw(st.sampled_from([*keys, *(grammar()[1] if kind == "k" else KEYS)]))
    return draw(st.sampled_from([f"{sign}{key}=", f"{sign}{key}=", f"{sign}{key}=", f"{sign}{key}"])) + draw(
        values()
    )


@st.composite
def typed(draw, keys=()):
    """`key=value` of a key that is there, with a value that may be anything: composed to the end."""
    key = draw(
        st.sampled_from(list(keys) or [k for k in grammar()[1] if not k.endswith((".name", ".preset"))])
    )
    return f"{key}={draw(values())}"


@st.composite
def mutated(draw, words):
    """A word with a character dropped, doubled, swapped, replaced or put in."""
    word = draw(words)
    at = draw(st.integers(0, len(word)))
    how = draw(st.sampled_from(["drop", "double", "swap", "put", "cut"]))
    if how == "drop":
        return word[:at] + word[at + 1 :]
    if how == "double":
        return word[:at] + word[at : at + 1] * 2 + word[at + 1 :]
    if how == "swap":
        return word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :]
    if how == "cut":
        return word[:at]
    return word[:at] + draw(st.sampled_from("=+~${}[],'\"@.\\\x00 é") | st.characters()) + word[at:]


def chosen_words():
    """Mostly a strategy and a task that are there."""
    chosen = grammar()[0]
    return st.tuples(
        st.sampled_from(["lora", "lora", "qlora", *chosen["strategy"]]).map(lambda name: f"+strategy={name}"),
        st.sampled_from(["sentiment", "sentiment", *chosen["task"]]).map(lambda name: f"+task={name}"),
    ).map(list)


def noisy_lines():
    """Words without sense: commands, flags, noise, and some that have."""
    word = st.one_of(
        noise(),
        st.sampled_from(COMMANDS + FLAGS),
        keyed(),
        mutated(keyed()),
        values(),
        st.just("--cfg"),
        st.just("job"),
    )
    return st.lists(word, max_size=6)


def nearly_right(extra=None):
    """A command line that is right but for a word or two."""
    return st.tuples(
        chosen_words(), st.lists(extra or typed() | mutated(typed()), min_size=1, max_size=2)
    ).map(lambda found: [*found[0], *found[1]])
