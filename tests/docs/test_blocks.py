"""Pages that say something untrue fail."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from sybil import Document
from sybil.example import SybilFailure
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

FENCE = "```"


@pytest.fixture(scope="module")
def collector() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pages_conftest", Path(__file__).parents[2] / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(collector: ModuleType, *blocks: tuple[str, str]) -> Document:
    text = "\n\n".join(f"{FENCE}{language}\n{body}\n{FENCE}" for language, body in blocks)
    document = Document(text, "page.md")
    for parser in (PythonCodeBlockParser(), CodeBlockParser("output", collector.same_as_printed)):
        for region in parser(document):
            document.add(region)
    return document


def test_blocks_build_on_each_other(collector: ModuleType) -> None:
    document = page(collector, ("python", "a = 1"), ("text", "anything"), ("python", "print(a + 1)"), ("output", "2"))
    collector.run(document)
    assert document.namespace["a"] == 1


@pytest.mark.parametrize("said", ["3", "2\n2", ""])
def test_output_that_is_not_printed_fails(collector: ModuleType, said: str) -> None:
    with pytest.raises(SybilFailure, match="the block before it prints"):
        collector.run(page(collector, ("python", "print(2)"), ("output", said)))


def test_output_belongs_to_the_block_right_before(collector: ModuleType) -> None:
    with pytest.raises(SybilFailure):
        collector.run(page(collector, ("python", "print(2)"), ("python", "b = 2"), ("output", "2")))


def test_a_block_that_raises_fails(collector: ModuleType) -> None:
    with pytest.raises(ZeroDivisionError):
        collector.run(page(collector, ("python", "1 / 0")))
