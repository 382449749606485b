# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Measures the service, beside Beam's own, and prints a table: ``make soak``.

Times are of a machine that may be busy: what is judged are counts, growth, and ratios of times of one run.

Writes build/soak/service.json. Exits with 1 if a row does not hold.
Usage: python -m benchmarks.service [--short] [--only NAME]…
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.service import table

BUILD = Path(__file__).parents[2] / "build" / "soak"


def main() -> int:
    """Measures the rows that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="small sizes, as in make test")
    parser.add_argument("--only", action="append", choices=table.ROWS, metavar="NAME", help="|".join(table.ROWS))
    arguments = parser.parse_args()
    rows = []
    for name in arguments.only or table.ROWS:
        print(f"== {name}", file=sys.stderr, flush=True)
        measured = table.measure(name, arguments.short)
        print(table.text_of(measured), file=sys.stderr, flush=True)
        rows += measured
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "service.json").write_text(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False) + "\n")
    print(table.text_of(rows))
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
