"""Words of the commands that read a folder, and the folders."""

import json

from hypothesis import strategies as st

from tests.fuzz import words as fuzz

FILES = [
    "config.yaml",
    "run.json",
    "result.json",
    "sweep.json",
    "head.json",
    "compare.json",
    "rank.json",
    "progress.json",
]
CONTENTS = [
    b"",
    b"\x00\xff\xfe",
    b"{}",
    b"[]",
    b"null",
    b"1",
    b'"x"',
    b"{",
    b"a: [",
    b"- a",
    b"\xef\xbb\xbf{}",
    b"[" * 9000,
]
CONTENTS += [
    b"9" * 5000,
    b'{"version": 1}',
    b'{"version": 1, "overrides": 3}',
    b'{"version": 1, "overrides": ["x"], "plugins": 1}',
]
CONTENTS += [
    b"task: x\n",
    b"task: 1\nstrategy: 2\nhead: 3\n",
    b"strategy: {name: lora, preset: lora}\ntask: a\nhead: {name: qa}\n",
]
CONTENTS += [
    b"? [a]\n: b\n",
    b"&a [*a]",
    b"a: &a [x]\nb: *c",
    b"seed: x",
    b"!!python/name:os.system",
    b"{version: 1e999}",
    b"a\tb: c",
]
CONTENTS += [
    b'{"version": 1, "strategy": [], "task": {}, "scores": null}',
    b'{"version": NaN, "jobs": [1]}',
    b"\r\n\x85",
]


def folders(place):
    """Builds what a RUN may wrongly be."""
    (place / "empty").mkdir()
    (place / "a-file").write_text("x")
    (place / "a-link").symlink_to("nowhere")
    (place / "a-loop").symlink_to("a-loop")
    (place / "nested" / "config.yaml").mkdir(parents=True)
    (place / "nested" / "run.json").mkdir()
    (place / "nested" / "result.json").mkdir()


@st.composite
def made(draw):
    """File name -> content, of a run directory that somebody spoilt."""
    whole = draw(st.booleans())
    found = {}
    for name in FILES:
        if whole and name == "config.yaml":
            found[name] = config(draw(st.sampled_from(["", *SPOILT])))
        elif draw(st.integers(0, 2)):
            found[name] = draw(st.sampled_from(CONTENTS) | st.binary(max_size=20) | records())
    return found


SPOILT = [
    "task",
    "strategy",
    "head",
    "model",
    "data",
    "transfer",
    "metric",
    "trainer",
    "logger",
    "seed",
    "evidence",
]


def config(spoilt):
    """A run's config but for one node."""
    nodes = {
        "task": "sentiment",
        "strategy": {"name": "lora", "preset": "lora"},
        "head": {"name": "classification"},
        "model": {"source": "not-there"},
        "data": {"path": "not-there"},
    }
    values = {
        "": None,
        "task": {"a": 1},
        "seed": "x",
        "metric": {"cka": 3},
        "head": {"name": 7},
        "logger": {"csv": {"x": 1}},
    }
    if spoilt:
        nodes[spoilt] = values.get(spoilt, [1, {"a": None}])
    return json.dumps(nodes).encode()


def records():
    """JSON with the keys that are looked for, and values of any type."""
    leaf = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=4)
        | st.just([])
        | st.just({})
    )
    keys = [
        "version",
        "overrides",
        "plugins",
        "scores",
        "primary_score",
        "task",
        "strategy",
        "jobs",
        "curve",
        "labels",
        "state",
    ]
    value = st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(keys), inner, max_size=3),
        max_leaves=6,
    )
    return st.dictionaries(st.sampled_from(keys), value, max_size=8).map(
        lambda found: json.dumps({"version": 1, **found}).encode()
    )


def write(place, files):
    (place / "made").mkdir()
    for name, content in files.items():
        (place / "made" / name).write_bytes(content)


def lines(folders):
    """A command on a folder, with flags that it has and has not."""
    run = st.sampled_from([*folders, "made", "made", "made"])
    flags = [
        "--trust",
        "--output",
        "--input",
        "--text",
        "--merge",
        "--dtype",
        "--push",
        "--private",
        "--batch-size",
        "--help",
    ]
    flags += [
        "--output=",
        "--input=-",
        "--input=a-file",
        "--output=a-file",
        "--output=empty/x",
        "--dtype=int8",
        "--batch-size=-1",
    ]
    flags += [
        "--push=a/b/c",
        "--batch-size=٣",
        "--batch-size=²",
        "--text=x",
        "--output=a-file/x",
        "--nope",
        "metric=[cka]",
        "metric=nope",
    ]
    flags += [
        "data.path=x",
        "data.limit.train=x",
        "data.limit=3",
        "data.columns.text=[a]",
        "transfer.source_domain=x",
        "transfer.source_domain=qa",
        "out",
    ]
    word = st.sampled_from(flags) | fuzz.keyed() | fuzz.values()
    command = st.sampled_from(["resume", "evaluate", "predict", "export", "metrics", "report"])
    return st.builds(lambda c, r, more: [c, r, *more], command, run, st.lists(word, max_size=3))


def plugin_lines():
    """`plugins` with names that no plugin has; a check of a real one takes seconds."""
    name = fuzz.values() | st.sampled_from(["Ä", "class", "a", "new_one", "json", "_x", "lora"])
    new = st.builds(
        lambda n, k, more: ["plugins", "new", n, "--kind", k, *more],
        name,
        st.sampled_from(["strategy", "head", "metric", "x", ""]),
        st.lists(
            st.sampled_from(["--out", "out", "a-file", "--out=a-file/x", "--out=", "--kind=metric", "x"]),
            max_size=2,
        ),
    )
    check = st.builds(
        lambda n, more: ["plugins", "check", n if n not in real() else "nope", *more],
        name,
        st.lists(
            st.sampled_from(["--rows", "--rows=a-file", "--fast", "a=b", "--kind=x", "--kind=head"])
            | fuzz.noise(),
            max_size=2,
        ),
    )
    other = st.lists(st.sampled_from(["list", "new", "check", "lits", "--kind"]) | fuzz.values(), max_size=3)
    return st.one_of(
        new,
        new,
        check,
        other.map(lambda found: ["plugins", *found]).filter(lambda found: not {"compatibility"} & set(found)),
    )


def real():
    """Plugins whose check takes seconds."""
    return {"tlplug.Strategy", *(name for found in fuzz.grammar()[0].values() for name in found)}


SWEPT = ["run_dir=a-file/sweep"]
"""Below a file nothing can be written: a sweep whose jobs are all right ends there, and starts none."""


def swept_lines():
    word = st.one_of(
        fuzz.keyed(fuzz.MULTIRUN), fuzz.typed(fuzz.MULTIRUN), fuzz.typed(), fuzz.mutated(fuzz.typed())
    )
    return st.builds(
        lambda flag, first, more: [flag, *first, *more, *SWEPT],
        st.sampled_from(["-m", "--multirun"]),
        fuzz.chosen_words(),
        st.lists(word, min_size=1, max_size=2),
    )


def several_lines():
    """`compare` and `rank` on data that is not there."""
    own = [
        "strategies",
        "seeds",
        "tune_learning_rate",
        "learning_rate_factors",
        "target_score",
        "stop_early",
        "models",
        "max_rows",
        "metrics",
        "fine_tune_top",
        "strategy",
    ]
    own += [
        "strategy.lora.r",
        "strategy.x.y",
        "compare.strategy",
        "compare.target_score",
        "rank.models",
        "rank",
        "compare",
        "metric.knn.k",
    ]
    word = st.one_of(fuzz.typed(own), fuzz.typed(own), fuzz.mutated(fuzz.typed(own)), fuzz.typed())
    end = ["data=files", "data.path=./not-there"]
    few = {"compare": ["strategies=[lora]"], "rank": ["models=[minilm,a]"]}
    return st.builds(
        lambda command, more: [command, "task=sentiment", *few[command], *more, *end],
        st.sampled_from(sorted(few)),
        st.lists(word, min_size=1, max_size=2),
    )
