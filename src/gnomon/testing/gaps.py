"""What a back-end cannot do yet is declared, with the error it raises, and held to it.

    class TestMine(OnlineStoreSuite):
        gaps = {"test_two_open_stores_see_each_other": BackendError}

Such a test has to fail, and with that error. Any other error fails the run; so does the day the gap is closed, so that
the declaration goes with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from gnomon.errors import nearest_hint

__all__ = ["Suite"]

Errors = type[BaseException] | tuple[type[BaseException], ...]


class Suite:
    """A suite of a contract's tests, whose subclasses may declare gaps.

    Args:
        gaps: the names of tests the back-end fails → the error, or the errors, they fail with.

    Raises:
        TypeError: at the subclass's definition: a gap names no test of the suite.
    """

    gaps: ClassVar[Mapping[str, Errors]] = {}

    def __init_subclass__(cls) -> None:
        tests = [name for name in dir(cls) if name.startswith("test_")]
        for name in cls.gaps:
            if name not in tests:
                hint = nearest_hint(name, tests, otherwise="remove it.")
                raise TypeError(f"{cls.__name__}.gaps: the suite has no test {name!r}.\nHint: {hint}")

    @pytest.fixture(autouse=True)
    def _declared_gap(self, request: pytest.FixtureRequest) -> None:
        error = self.gaps.get(request.function.__name__)
        if error is not None:
            request.applymarker(pytest.mark.xfail(raises=error, strict=True, reason="a declared gap"))
