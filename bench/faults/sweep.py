"""Kill jobs of a sweep and the sweep itself at random moments, resume it, and compare it with an undisturbed one.

    python -m bench.faults.sweep [--seed 0] [--jobs 30] [--at-once 2] [--kills 3] [--within 40]

The scores and predictions.jsonl of each job have to be equal byte for byte. Prints the row for bench/faults/faults.md; the
exit code is 1 if anything differs.
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
    """Write a tiny base model and rows; return the words of a run on them."""
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


def command(words: list[str], folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "tlplug", "-m", *words, f"run_dir={folder}", *options]


def processes_of(folder: Path) -> dict[str, int]:
    """Return the process ids of the sweep's jobs by the job's folder."""
    pids = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().decode().split("\0")
            if "resume" in words and words[words.index("resume") + 1].startswith(f"{folder}/"):
                pids[words[words.index("resume") + 1]] = int(path.parent.name)
    return pids


def disturb(sweep: subprocess.Popen[bytes], folder: Path, options: argparse.Namespace) -> list[str]:
    """Kill different jobs at random moments and then the sweep itself; return the names of the killed."""
    killed: list[str] = []
    generator = random.Random(options.seed)
    while len(killed) < options.kills + 1:
        time.sleep(generator.uniform(1, options.within))
        if sweep.poll() is not None:
            raise SystemExit("the sweep ended before all kills: increase --jobs")
        running = {job: pid for job, pid in processes_of(folder).items() if job not in killed}
        if len(killed) == options.kills:
            sweep.send_signal(signal.SIGKILL)
            killed.append("sweep")
        elif running:
            job = generator.choice(sorted(running))
            with suppress(ProcessLookupError):
                os.kill(running[job], signal.SIGKILL)
                killed.append(job)
    sweep.wait()
    return killed


def differences(undisturbed: Path, disturbed: Path, jobs: int) -> list[str]:
    """Return a message for each difference between the two sweeps."""
    messages = []
    for number in map(str, range(jobs)):
        expected, actual = undisturbed / number, disturbed / number
        if not (actual / "result.json").is_file():
            messages.append(f"{number}: no result")
            continue
        if (expected / "predictions.jsonl").read_bytes() != (actual / "predictions.jsonl").read_bytes():
            messages.append(f"{number}: other predictions")
        scores = [json.loads((run / "result.json").read_text())["scores"] for run in (expected, actual)]
        if json.dumps(scores[0]) != json.dumps(scores[1]):
            messages.append(f"{number}: other scores")
    return messages


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="the seed of the moments and of the killed jobs")
    parser.add_argument("--jobs", type=int, default=30)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument(
        "--within", type=float, default=40, help="the longest time between two kills, in seconds"
    )
    return parser.parse_args()


def main() -> int:
    options = parse_options()
    folder = Path(tempfile.mkdtemp(prefix="faults-")).resolve()
    seeds = ",".join(str(seed) for seed in range(1, options.jobs // len(STRATEGIES) + 1))
    words = [
        f"strategy={','.join(STRATEGIES)}",
        *make_task(folder),
        f"seed={seeds}",
        f"sweep.max_parallel={options.at_once}",
    ]
    undisturbed, disturbed = folder / "calm", folder / "disturbed"
    jobs = options.jobs // len(STRATEGIES) * len(STRATEGIES)

    subprocess.run(command(words, undisturbed), check=True, stdout=subprocess.DEVNULL)
    sweep = subprocess.Popen(command(words, disturbed), stdout=subprocess.DEVNULL)
    killed = disturb(sweep, disturbed, options)
    states = {job["state"] for job in json.loads((disturbed / "sweep.json").read_text())["jobs"]}
    print(f"killed: {', '.join(killed)}; states in sweep.json: {', '.join(sorted(states))}", file=sys.stderr)
    time.sleep(20)
    orphans = processes_of(disturbed)
    resume = command(words, disturbed, "sweep.resume=true")
    code = subprocess.run(resume, check=False, stdout=subprocess.DEVNULL).returncode
    lost = differences(undisturbed, disturbed, jobs)
    lost += [f"{len(orphans)} orphans"] * bool(orphans) + [f"exit code {code}"] * bool(code)
    print(
        f"| sweep of {jobs} jobs, {options.at_once} at once: SIGKILL of {options.kills} jobs and of the whole sweep "
        f"at random moments, then `sweep.resume=true` | {options.kills + 1} | {jobs - len(lost)} of {jobs} jobs | "
        f"{'; '.join(lost) or 'nothing'} |"
    )
    return int(bool(lost))


if __name__ == "__main__":
    sys.exit(main())
