"""`make bench`: every benchmark, one after the other, as a table."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

import local
import start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="Python that has sentence-transformers")
    parser.add_argument("--runs", type=int, default=5, help="runs of each, of which the median")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}", file=sys.stderr)
    figures = {
        "start": start.measure(options.runs),
        "local": local.measure(options.peer, options.runs),
    }
    for part, values in figures.items():
        print(f"\n{part}")
        for name, value in values.items():
            print(f"  {name:55} {value:10.3f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
