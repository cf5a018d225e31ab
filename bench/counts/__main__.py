"""Count what runs compute and write bench/counts/counts.json: python -m bench.counts"""

from __future__ import annotations

import json

from bench.counts.operation_counts import FILE, count_packages, count_runs


def main() -> None:
    counts = {"runs": count_runs(), "packages": count_packages()}
    FILE.write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
    print(FILE.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
