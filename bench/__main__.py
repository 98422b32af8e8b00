"""`python -m bench` measures the usual groups, `python -m bench training` one group, and writes the README's tables."""

from __future__ import annotations

import argparse
import importlib
import time
from datetime import datetime, timezone

from bench.table import Row, machine, table, written

GROUPS = (
    "training",
    "five_views",
    "windows",
    "materialize",
    "online_reads",
    "on_demand",
    "online_stores",
    "pushes",
    "looks",
    "streams",
    "ledgers",
    "access",
    "recording",
    "startup",
)
WHEN_NAMED = ("feast", "any_size", "many_events", "serving")
"""What takes so long, or so much disk, that one has to ask for it."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    said = f"of {', '.join(GROUPS)}, which is the default; or {', '.join(WHEN_NAMED)}, which run only when named"
    parser.add_argument("groups", nargs="*", metavar="group", help=said)
    asked = parser.parse_args().groups or GROUPS
    unknown = [name for name in asked if name not in GROUPS + WHEN_NAMED]
    if unknown:
        parser.error(f"there is no group {unknown[0]!r}; there are {', '.join(GROUPS + WHEN_NAMED)}.")
    for name in asked:
        began, where, made = time.perf_counter(), machine(), list[Row]()
        print(f"\n{name}", flush=True)
        for row in importlib.import_module(f"bench.{name}").rows():
            print(row, flush=True)
            made.append(row)
        took, today = time.perf_counter() - began, datetime.now(timezone.utc).date()
        written(name, f"{where}; {today}, measured in {took:.0f} s.\n\n{table(made)}")


if __name__ == "__main__":
    main()
