"""What W&B wrote for a run, read back from its transaction log: LevelDB's log format with a header of W&B's own."""

import json
import struct
import time
from pathlib import Path

BLOCK, HEADER, RECORD = 32768, 7, 7
FULL, LAST = 1, 4


def chunks(content):
    """Type and bytes of each piece; a record that does not fit into its block lies in several."""
    at = HEADER
    while at + RECORD <= len(content):
        if BLOCK - at % BLOCK < RECORD:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + RECORD])
        yield kind, content[at + RECORD : at + RECORD + length]
        at += RECORD + length


def records(file):
    from wandb.proto.wandb_internal_pb2 import Record

    content, held = Path(file).read_bytes(), b""
    assert content[:4] == b":W&B"
    for kind, piece in chunks(content):
        held += piece
        if kind in (FULL, LAST):
            record = Record()
            record.ParseFromString(held)
            held = b""
            yield record


def values(items):
    """Of a config, a row or a summary, by dotted key."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def ended(folder, seconds=20):
    """All records of a run that has ended; W&B's own process writes them, a little after `finish`."""
    (file,) = Path(folder).glob("*.wandb")
    until = time.monotonic() + seconds
    while True:
        found = list(records(file))
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            return found
        assert time.monotonic() < until, f"{file} has no end"
        time.sleep(0.1)


def read(folder):
    """The run of an `offline-run-...` or `run-...` folder, as plain values."""
    found = ended(folder)
    run = next(record.run for record in found if record.run.run_id)
    summary = {}
    for record in found:
        summary |= values(record.summary.update)
    return {
        "id": run.run_id,
        "name": run.display_name,
        "project": run.project,
        "group": run.run_group,
        "tags": list(run.tags),
        "config": values(run.config.update),
        "rows": [values(record.history.item) for record in found if record.history.item],
        "summary": summary,
        "exit": next(record.exit.exit_code for record in found if record.WhichOneof("record_type") == "exit"),
        "artifacts": [record.artifact.name for record in found if record.artifact.name],
    }
