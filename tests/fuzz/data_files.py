"""Small data files of every format and head, spoilt in their bytes, their values, their names and their folders."""

import csv
import gzip
import io
import json
import os

from hypothesis import reject
from hypothesis import strategies as st

ROWS = {
    "classification": [{"text": f"the film was {w}", "label": w} for w in ("flat", "fine", "flat", "fine")],
    "token_classification": [
        {"tokens": ["the", "film"], "tags": ["O", tag]} for tag in ("B-X", "B-Y", "I-X", "O")
    ],
    "question_answering": [
        {
            "id": str(n),
            "context": "the film was flat",
            "question": "what was it",
            "answers": {"text": ["flat"], "answer_start": [13]},
        }
        for n in range(4)
    ],
    "summarization": [{"document": f"the film was flat {n}", "summary": "flat"} for n in range(4)],
    "language_modeling": [{"text": f"the film was flat {n}"} for n in range(4)],
    "instruction": [
        {"messages": [{"role": "user", "content": "the film"}, {"role": "assistant", "content": "flat"}]}
        for _ in range(4)
    ],
}
FLAT = ("classification", "summarization", "language_modeling")
FORMATS = [
    "jsonl",
    "json",
    "csv",
    "tsv",
    "parquet",
    "arrow",
    "txt",
    "jsonl.gz",
    "json.gz",
    "csv.gz",
    "txt.gz",
]

PIECES = [
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\r",
    b"\r\n",
    b"\n\n",
    b'"',
    b'""',
    b"'",
    b",",
    b"\t",
    b"{",
    b"}",
    b"[",
    b"]",
]
PIECES += [
    b"1e999",
    b"-1e999",
    b"NaN",
    b"-Infinity",
    b"9" * 5000,
    b"9" * 25,
    b"[" * 3000,
    b'{"a":' * 1500,
    b"\\ud800",
    b"\\u0000",
    b"\\",
]
PIECES += [
    b"\xed\xa0\x80",
    b"\xc3",
    b"\xff",
    b"null",
    b"true",
    b"0",
    b'{"a": 1}',
    b"\x1a",
    b"\x85",
    "\u2028".encode(),
    b" ",
    b"\x0c",
    b"//",
]
PIECES += [b'{"text": 1, "text": 2}', b"PAR1", b"ARROW1", b"\x1f\x8b", b"x" * 200_000]
VALUES = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    2**63,
    -(2**63),
    2**64,
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "\x00",
    "\ud800",
    "ü" * 9,
]
VALUES += [
    "x" * 5000,
    [],
    [[]],
    [None],
    ["a", 1],
    [1],
    {},
    {"a": 1},
    {"": None},
    [{"a": [1]}],
    {"text": [], "answer_start": []},
    "1",
    "\u2028",
]
VALUES += [
    {"text": ["flat"], "answer_start": [-1]},
    {"text": ["flat"], "answer_start": [10**20]},
    {"text": "flat", "answer_start": 13},
]
VALUES += [
    {"text": ["flat"], "answer_start": ["13"]},
    [{"role": "x", "content": 1}],
    [{"role": "user"}],
    {"text": [None], "answer_start": [None]},
]
VALUES += [
    {"text": ["flat", "a"], "answer_start": [13]},
    ["O"],
    ["B-", "-"],
    ["O", None],
    ["O", ["O"]],
    [0, 1],
    [True, "O"],
    ["", ""],
]


def goes(head, form):
    """Whether a file of that format can hold the head's columns."""
    plain = form.removesuffix(".gz")
    return head == "language_modeling" if plain == "txt" else head in FLAT or plain not in ("csv", "tsv")


def deep(levels):
    found = []
    for _ in range(levels):
        found = [found]
    return found


def spoilt_rows(rows):
    """Rows with a value of another type, a column less, one more, one renamed, or a row that is none."""

    @st.composite
    def drawn(draw):
        found = [dict(row) for row in rows]
        for _ in range(draw(st.integers(1, 3))):
            at, value = (
                draw(st.integers(0, len(found) - 1)),
                draw(st.sampled_from(VALUES) | st.builds(deep, st.integers(50, 300))),
            )
            row = found[at]
            if not isinstance(row, dict) or not row:
                continue
            column = draw(st.sampled_from(sorted(row)))
            how = draw(st.sampled_from(["set", "set", "all", "drop", "add", "name", "row"]))
            if how == "set":
                row[column] = value
            elif how == "all":
                found = [{**each, column: value} if isinstance(each, dict) else each for each in found]
            elif how == "drop":
                row.pop(column)
            elif how == "add":
                row[draw(st.sampled_from(["id", "", "x", "Text", "\x00", "é", "a.b"]))] = value
            elif how == "name":
                row[column + draw(st.sampled_from(["s", " ", "\ufeff"]))] = row.pop(column)
            else:
                found[at] = value
        return found

    return drawn()


def written(rows, form):
    """The rows in a format, as bytes; in a typed one, what cannot be typed is left as text."""
    if form.endswith(".gz"):
        return gzip.compress(written(rows, form.removesuffix(".gz")), mtime=0)
    if form == "jsonl":
        return "".join(plain(row) + "\n" for row in rows).encode()
    if form == "json":
        return plain(rows).encode()
    if form == "txt":
        return "".join(
            f"{next(iter(row.values()), '') if isinstance(row, dict) else row}\n" for row in rows
        ).encode("utf-8", "surrogatepass")
    if form in ("csv", "tsv"):
        return separated(rows, "," if form == "csv" else "\t")
    return typed(rows, form)


def separated(rows, separator):
    kept = [row for row in rows if isinstance(row, dict)]
    names = list(dict.fromkeys(name for row in kept for name in row))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator)
    writer.writerow(names)
    writer.writerows([[str(row.get(name, "")) for name in names] for row in kept])
    return out.getvalue().encode("utf-8", "surrogatepass")


def typed(rows, form):
    import pyarrow as pa

    kept = [row for row in rows if isinstance(row, dict)]
    names = list(dict.fromkeys(name for row in kept for name in row))
    return packed(pa.table([column([row.get(name) for row in kept]) for name in names], names=names), form)


def column(values):
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeError, TypeError):
        return pa.array([ascii(value) for value in values])


def packed(table, form):
    """A typed file; what the format cannot hold is a column of text in place of the table."""
    import pyarrow as pa

    try:
        return store(table, form)
    except (pa.ArrowException, ValueError):
        return store(pa.table({"text": ["a"], "label": ["b"]}), form)


def store(table, form):
    import pyarrow as pa
    from pyarrow import parquet

    out = io.BytesIO()
    if form == "parquet":
        parquet.write_table(table, out)
    else:
        with pa.ipc.new_file(out, table.schema) as writer:
            writer.write_table(table)
    return out.getvalue()


def odd_columns():
    """A column of each type that a typed file can have, by name -> values of four rows."""
    import datetime
    import decimal

    import pyarrow as pa

    when = datetime.datetime(2020, 1, 1)
    return {
        "timestamp": pa.array([when] * 4),
        "far": pa.array([2**62] * 4, pa.timestamp("s")),
        "date": pa.array([when.date()] * 4),
        "time": pa.array([when.time()] * 4),
        "duration": pa.array([1] * 4, pa.duration("ns")),
        "decimal": pa.array([decimal.Decimal("1.5")] * 4),
        "binary": pa.array([b"\xff\x00"] * 4),
        "fixed": pa.array([b"ab"] * 4, pa.binary(2)),
        "nulls": pa.nulls(4),
        "half": pa.array([1.0] * 4, pa.float16()),
        "large": pa.array(["a", "b"] * 2, pa.large_string()),
        "view": pa.array(["a", "b"] * 2, pa.string_view()),
        "coded": pa.array(["a", "b", None, "a"]).dictionary_encode(),
        "map": pa.array([[("a", 1)]] * 4, pa.map_(pa.string(), pa.int64())),
        "struct": pa.array([{"a": 1}] * 4),
        "empty struct": pa.array([{}] * 4, pa.struct([])),
        "fixed list": pa.array([[1, 2]] * 4, pa.list_(pa.int64(), 2)),
        "large list": pa.array([["O", "B-X"]] * 4, pa.large_list(pa.string())),
        "list view": pa.array([["O", "B-X"]] * 4, pa.list_view(pa.string())),
        "unsigned": pa.array([2**64 - 1] * 4, pa.uint64()),
        "bool": pa.array([True, False] * 2),
        "union": pa.UnionArray.from_sparse(
            pa.array([0, 1, 0, 1], pa.int8()), [pa.array([1] * 4), pa.array(["a"] * 4)]
        ),
        "runs": pa.RunEndEncodedArray.from_arrays(pa.array([4], pa.int32()), pa.array(["a"])),
        "extension": pa.ExtensionArray.from_storage(pa.json_(), pa.array(["1"] * 4)),
        "broken text": pa.Array.from_buffers(pa.string(), 4, pa.array([b"\xff"] * 4).buffers()),
        "interval": pa.array([(1, 2, 3)] * 4, pa.month_day_nano_interval()),
    }


@st.composite
def odd_tables(draw, head, form):
    """A typed file in which a column is of another type, doubled, or called otherwise; or one without rows."""
    import pyarrow as pa

    table = pa.Table.from_pylist(ROWS[head])
    at = draw(st.integers(0, table.num_columns - 1))
    name = table.column_names[at]
    how = draw(st.sampled_from(["type", "type", "type", "double", "empty", "metadata", "rename"]))
    if how == "type":
        table = table.set_column(at, name, odd_columns()[draw(st.sampled_from(sorted(odd_columns())))])
    elif how == "double":
        table = table.append_column(name, table.column(at))
    elif how == "empty":
        table = table.slice(0, 0)
    elif how == "rename":
        table = table.rename_columns(
            [draw(st.sampled_from(["", "x", "id", "\x00", "a.b"])), *table.column_names[1:]]
        )
    else:
        said = draw(
            st.sampled_from(
                [
                    b"",
                    b"{",
                    b"[]",
                    b'{"info": 1}',
                    b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a"]}}}}',
                    b'{"info": {"features": 3}}',
                    b'{"info": {"features": {"text": {"_type": "Nope"}}}}',
                    b"\xff",
                ]
            )
        )
        table = table.replace_schema_metadata({b"huggingface": said})
    return packed(table, form)


@st.composite
def spoilt_bytes(draw, content):
    """Bytes flipped, cut, put in, doubled or swapped, or all of it in another encoding."""
    for _ in range(draw(st.integers(1, 3))):
        size = len(content)
        at, to = sorted((draw(st.integers(0, size)), draw(st.integers(0, size))))
        how = draw(
            st.sampled_from(["flip", "cut", "put", "put", "double", "drop", "encode", "lines", "packed"])
        )
        if how == "flip" and at < size:
            content = content[:at] + bytes([content[at] ^ (1 << draw(st.integers(0, 7)))]) + content[at + 1 :]
        elif how == "cut":
            content = content[:at]
        elif how == "put":
            content = content[:at] + draw(st.sampled_from(PIECES) | st.binary(max_size=4)) + content[at:]
        elif how == "double":
            content = content[:to] + content[at:to] + content[to:]
        elif how == "drop":
            content = content[:at] + content[to:]
        elif how == "encode":
            content = content.decode("latin-1").encode(
                draw(st.sampled_from(["utf-16", "utf-32-be", "utf-8-sig", "utf-7", "utf-8"]))
            )
        elif how == "lines":
            content = content.replace(b"\n", draw(st.sampled_from([b"\r\n", b"\r", b"", b"\n\n", b"\x0b"])))
        else:
            content = gzip.compress(content, mtime=0)
    return content


@st.composite
def files(draw):
    """Head, format, bytes."""
    head = draw(st.sampled_from(sorted(ROWS)))
    form = draw(st.sampled_from([form for form in FORMATS if goes(head, form)]))
    kind = draw(st.sampled_from(["bytes", "rows", "both", "type"]))
    if kind == "type" and form in ("parquet", "arrow"):
        return head, form, draw(odd_tables(head, form))
    rows = ROWS[head] if kind == "bytes" else draw(spoilt_rows(ROWS[head]))
    content = written(rows, form)
    return head, form, content if kind in ("rows", "type") else draw(spoilt_bytes(content))


CHANGES = ["gone", "folder", "dangling", "loop", "twin", "name", "empty", "pipe", "hidden", "linked", "upper"]


def changes():
    """A change, the split that it is made to, and a name."""
    names = [
        "train.csv",
        "train",
        ".jsonl",
        "a b.jsonl",
        "é.jsonl",
        "state.json",
        "dataset_info.json",
        "dataset_dict.json",
    ]
    names += [
        "train.jsonl.gz",
        "[train].jsonl",
        "*.jsonl",
        "train.JSONL",
        "\udcff.jsonl",
        "\n.jsonl",
        "x" * 240 + ".jsonl",
        "data.arrow",
    ]
    return st.tuples(
        st.sampled_from(CHANGES), st.sampled_from(["train", "validation", "test"]), st.sampled_from(names)
    )


def change(folder, how, split, other):
    """Spoils one split's file; where it was spoilt before, it stays as it is."""
    path, to = folder / f"{split}.jsonl", folder / other
    if path.is_symlink() or not path.is_file() or to.exists() or to.is_symlink():
        return
    if how == "twin":
        to.write_bytes(path.read_bytes())
    elif how == "empty":
        path.write_bytes(b"")
    elif how in ("name", "hidden", "upper"):
        path.rename(
            {"name": to, "hidden": folder / f".{path.name}", "upper": folder / path.name.upper()}[how]
        )
    elif how == "linked":
        path.rename(to)
        path.symlink_to(other)
    else:
        path.unlink()
        make = {
            "gone": lambda: None,
            "folder": path.mkdir,
            "dangling": lambda: path.symlink_to("nowhere"),
            "loop": lambda: path.symlink_to(path.name),
            "pipe": lambda: os.mkfifo(path),
        }
        make[how]()


def paths():
    """`data.path`: mostly the folder."""
    strange = [
        "data/train.jsonl",
        "data/*.jsonl",
        "data/**",
        "data/tr?in.jsonl",
        "data/[",
        "data/train.jsonl/x",
        "data/",
        "./data/../data",
    ]
    strange += [
        "data/" + "x" * 300,
        "data/\x00",
        "data/\udcff",
        "data/nope.jsonl",
        "data/*.csv",
        "data/.",
        "data/[a-",
        "data/**/*",
        "pkg://data",
    ]
    return st.sampled_from(["data"] * 12 + strange)


def plain(value):
    """As JSON; what holds itself cannot be written, and is no example."""
    try:
        return json.dumps(value)
    except ValueError:
        reject()
