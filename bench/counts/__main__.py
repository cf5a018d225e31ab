"""Count again what runs compute, and write bench/counts/counts.json: python -m bench.counts"""

from __future__ import annotations

import json

from bench.counts.operation_counts import FILE, counted, packages


def main() -> None:
    found = {"runs": counted(), "packages": packages()}
    FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(FILE.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
