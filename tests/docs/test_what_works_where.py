"""The page of capabilities is what the back-ends declare."""

from __future__ import annotations

import runpy
from pathlib import Path

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "what_works_where.py"))


def test_the_page_is_what_the_back_ends_declare() -> None:
    assert SCRIPT["PAGE"].read_text(encoding="utf-8") == SCRIPT["page"](), "write it anew: make tables"


def test_a_capability_is_told_with_what_it_means() -> None:
    line = "| **`spills`**: it goes on on disk where memory ends | yes |"
    assert line in SCRIPT["page"]().splitlines()
