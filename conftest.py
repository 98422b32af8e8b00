"""Pages are tests: the Python blocks of README.md and docs/ run, page by page, each page in an empty folder of its own.

A block may build on the page's earlier ones, so a page is one test: blocks keep their order however tests are shuffled
and shared out. An `output` block right after a Python block says what that block prints.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sybil import Document, Example
from sybil.example import SybilFailure
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).parent
FOLDER = "shop"
"""The folder pages run in; a repo without a configuration takes its project's name from it."""


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Page | None:
    """Take README.md and the pages of docs/ for test files."""
    of_docs = file_path.suffix == ".md" and file_path.is_relative_to(ROOT / "docs")
    if of_docs or file_path == ROOT / "README.md":
        page: Page = Page.from_parent(parent, path=file_path)
        return page
    return None


class Page(pytest.File):
    """A page of Markdown."""

    def collect(self) -> Iterator[pytest.Item]:
        """One test, if the page has Python blocks."""
        if "```python" in self.path.read_text(encoding="utf-8"):
            yield Blocks.from_parent(self, name="blocks")


class Blocks(pytest.Item):
    """The blocks of a page, one after the other."""

    def runtest(self) -> None:
        """Run them where nothing is."""
        parsers = (PythonCodeBlockParser(), CodeBlockParser("output", same_as_printed), SkipParser())
        document = Document.parse(str(self.path), *parsers)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / FOLDER
            folder.mkdir()
            with contextlib.chdir(folder), importing_from(folder):
                run(document)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What is wrong with a block of output, in words; with anything else, the traceback."""
        return str(excinfo.value) if isinstance(excinfo.value, SybilFailure) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where and what this is."""
        return self.path, 0, f"blocks of {self.path.relative_to(ROOT)}"


@contextlib.contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Modules that a page writes can be imported, as by a script in that folder; then all is as before."""
    path, modules = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
                del sys.modules[name]


def run(document: Document) -> None:
    """Evaluate every block, and keep for each what the one before it printed."""
    printed = ""
    for example in document.examples():
        document.namespace["_printed"] = printed
        with contextlib.redirect_stdout(io.StringIO()) as out:
            example.evaluate()
        printed = out.getvalue()


def same_as_printed(example: Example) -> str | None:
    """What is wrong with a block of output; None if it is what was printed, but for spaces at the ends of lines."""
    said, printed = (_lines(text) for text in (example.parsed, example.namespace["_printed"]))
    return None if said == printed else "the block before it prints:\n" + "\n".join(printed)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]
