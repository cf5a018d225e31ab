"""A sweep of 30 jobs of which some are killed at random moments, and which is killed itself, against an undisturbed one.

    python -m bench.faults.sweep [--seed 0] [--jobs 30] [--at-once 2] [--kills 3] [--within 40]

Each result of the disturbed sweep, once it has been gone on with, has to be that of its twin: the scores, and
predictions.jsonl byte for byte. Prints the row for bench/faults/faults.md; exit code 1 where something was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

STRATEGIES = ("lora", "linear_probe")


def make_task(folder: Path) -> list[str]:
    """A tiny base model and rows; the words of a run on them."""
    import torch
    from transformers import BertConfig, BertModel

    from tests.cli.runs import tiny_words
    from tests.conftest import make_tokenizer, write_rows

    tokenizer = make_tokenizer()
    torch.manual_seed(1234)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes)).save_pretrained(
        folder / "tiny"
    )
    tokenizer.save_pretrained(folder / "tiny")
    words = tiny_words(folder / "tiny", write_rows(folder / "rows"))[1:]
    return [*words, "transfer.baselines=[]", "metric=[]", "checkpoint.every_steps=2"]


def command(words: list[str], folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "tlplug", "-m", *words, f"run_dir={folder}", *more]


def processes_of(folder: Path) -> dict[str, int]:
    """The processes that run the sweep's jobs, by the job's folder."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().decode().split("\0")
            if "resume" in words and words[words.index("resume") + 1].startswith(f"{folder}/"):
                found[words[words.index("resume") + 1]] = int(path.parent.name)
    return found


def disturb(
    process: subprocess.Popen[bytes], folder: Path, kills: int, within: float, draw: random.Random
) -> list[str]:
    """Kills so many different jobs, each at a random moment of it, and then the sweep itself; says whom it hit."""
    hit: list[str] = []
    while len(hit) < kills + 1:
        time.sleep(draw.uniform(1, within))
        if process.poll() is not None:
            raise SystemExit("the sweep ended before all kills: take more jobs")
        running = {job: pid for job, pid in processes_of(folder).items() if job not in hit}
        if len(hit) == kills:
            process.send_signal(signal.SIGKILL)
            hit.append("sweep")
        elif running:
            job = draw.choice(sorted(running))
            with suppress(ProcessLookupError):
                os.kill(running[job], signal.SIGKILL)
                hit.append(job)
    process.wait()
    return hit


def differences(calm: Path, disturbed: Path, jobs: int) -> list[str]:
    """What the twins do not share."""
    found = []
    for number in map(str, range(jobs)):
        one, other = calm / number, disturbed / number
        if not (other / "result.json").is_file():
            found.append(f"{number}: no result")
            continue
        if (one / "predictions.jsonl").read_bytes() != (other / "predictions.jsonl").read_bytes():
            found.append(f"{number}: other predictions")
        scores = [json.loads((run / "result.json").read_text())["scores"] for run in (one, other)]
        if json.dumps(scores[0]) != json.dumps(scores[1]):
            found.append(f"{number}: other scores")
    return found


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--seed", type=int, default=0, help="of the moments and of whom it hits")
    options.add_argument("--jobs", type=int, default=30)
    options.add_argument("--at-once", type=int, default=2)
    options.add_argument("--kills", type=int, default=3)
    options.add_argument("--within", type=float, default=40, help="seconds to the next kill, at most")
    options.add_argument("--folder", type=Path, help="where all of it is left; else a temporary folder")
    given = options.parse_args()
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="faults-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    seeds = ",".join(str(seed) for seed in range(1, given.jobs // len(STRATEGIES) + 1))
    words = [
        f"strategy={','.join(STRATEGIES)}",
        *make_task(folder),
        f"seed={seeds}",
        f"sweep.max_parallel={given.at_once}",
    ]
    calm, disturbed = folder / "calm", folder / "disturbed"
    jobs = given.jobs // len(STRATEGIES) * len(STRATEGIES)

    subprocess.run(command(words, calm), check=True, stdout=subprocess.DEVNULL)
    process = subprocess.Popen(command(words, disturbed), stdout=subprocess.DEVNULL)
    hit = disturb(process, disturbed, given.kills, given.within, random.Random(given.seed))
    left = [job["state"] for job in json.loads((disturbed / "sweep.json").read_text())["jobs"]]
    print(f"killed: {', '.join(hit)}; sweep.json then said: {', '.join(sorted(set(left)))}", file=sys.stderr)
    time.sleep(20)
    orphans = processes_of(disturbed)
    ended = subprocess.run(
        command(words, disturbed, "sweep.resume=true"), check=False, stdout=subprocess.DEVNULL
    ).returncode
    lost = differences(calm, disturbed, jobs)
    lost += [f"{len(orphans)} orphans"] * bool(orphans) + [f"exit code {ended}"] * bool(ended)
    print(
        f"| sweep of {jobs} jobs, {given.at_once} at once: SIGKILL of {given.kills} jobs and of the whole sweep "
        f"at random moments, then `sweep.resume=true` | {given.kills + 1} | {jobs - len(lost)} of {jobs} jobs | "
        f"{'; '.join(lost) or 'nothing'} |"
    )
    return int(bool(lost))


if __name__ == "__main__":
    sys.exit(main())
