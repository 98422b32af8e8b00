"""A declared gap has to be one: the same tests run in a pytest of their own, and its verdicts are counted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gnomon.testing.gaps import Suite

SUITE = """
import pytest
from gnomon.testing.gaps import Suite

class Sums(Suite):
    @pytest.fixture
    def plus(self): raise NotImplementedError
    def test_whole_numbers(self, plus): assert plus(1, 2) == 3
    @pytest.mark.parametrize("text", ["a", "b"])
    def test_texts(self, plus, text): assert plus(text, "c") == text + "c"

class TestMine(Sums):
    gaps = GAPS
    @pytest.fixture
    def plus(self): return lambda one, other: int(one) + int(other)

class TestWhole(Sums):
    @pytest.fixture
    def plus(self): return lambda one, other: one + other
"""


def verdict(folder: Path, gaps: str) -> str:
    (folder / "test_sums.py").write_text(SUITE.replace("GAPS", gaps), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "test_sums.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[-1].partition(" in ")[0]


@pytest.mark.parametrize(
    ("gaps", "said"),
    [
        ("{}", "2 failed, 4 passed"),
        ('{"test_texts": ValueError}', "4 passed, 2 xfailed"),
        ('{"test_texts": (KeyError, ValueError)}', "4 passed, 2 xfailed"),
        ('{"test_texts": TypeError}', "2 failed, 4 passed"),
        ('{"test_texts": ValueError, "test_whole_numbers": ValueError}', "1 failed, 3 passed, 2 xfailed"),
    ],
)
def test_a_gap_fails_as_declared_or_the_run_fails(tmp_path: Path, gaps: str, said: str) -> None:
    assert verdict(tmp_path, gaps) == said


def test_a_gap_names_a_test() -> None:
    class Sums(Suite):
        def test_texts(self) -> None: ...

    with pytest.raises(TypeError, match=r"no test 'test_text'.\nHint: did you mean 'test_texts'"):
        type("Mine", (Sums,), {"gaps": {"test_text": ValueError}})
