"""`python -m bench` measures everything, `python -m bench training` one group, and writes the README's tables."""

from __future__ import annotations

import argparse
import importlib
import time
from datetime import datetime, timezone

from bench.table import Row, machine, table, written

GROUPS = ("training", "materialize", "online_reads", "online_stores", "startup")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="group", help=f"of {', '.join(GROUPS)}; all by default")
    asked = parser.parse_args().groups or GROUPS
    unknown = [name for name in asked if name not in GROUPS]
    if unknown:
        parser.error(f"there is no group {unknown[0]!r}; there are {', '.join(GROUPS)}.")
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
