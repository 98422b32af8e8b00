"""How long work tells that it gets on, to whoever cares."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "Quiet"]


class Progress(Protocol):
    """Is told how a load, or a training set, gets on."""

    def begin(self, view: str, total: int | None) -> None:
        """A view's load begins, or a "training set"; `total` rows are expected, if that is known."""
        ...

    def advance(self, rows: int) -> None:
        """So many more rows are in the store, or made."""
        ...

    def end(self) -> None:
        """It is over, done or not."""
        ...


class Quiet:
    """Progress that says nothing."""

    def begin(self, view: str, total: int | None) -> None:
        """Say nothing."""

    def advance(self, rows: int) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""
