"""Errors: what, what instead, the next step, and the facts."""

from __future__ import annotations

import copy
import pickle

import pytest

from gnomon import errors
from gnomon.errors import (
    AccessDenied,
    BackendError,
    BrokerAway,
    ConfigError,
    ConflictError,
    DefinitionError,
    GnomonError,
    MissingExtra,
    NewerFormat,
    NotRegistered,
    RateLimited,
    RequestError,
    ServerAway,
    SourceError,
    UnknownFeature,
    listing,
    nearest,
    nearest_hint,
)

EXAMPLES = [
    AccessDenied("no key.", status=401),
    RateLimited("too often.", retry_after=1.0),
    ServerAway("the server does not answer.", hint="is it running?"),
    GnomonError("it is so.", instead="It should be thus.", hint="do that.", place=3),
    DefinitionError("wrong."),
    ConfigError("wrong.", hint="right."),
    RequestError("wrong.", value=1),
    ConflictError("someone was faster.", hint="try again."),
    BackendError("the disk is full."),
    BrokerAway("the broker does not answer.", hint="is it running?"),
    SourceError("no such file.", path="a.parquet"),
    NewerFormat(path="registry.db", found=9, supported=1),
    MissingExtra(package="polars", extra="polars", purpose="to_polars"),
    NotRegistered(kind="feature view", name="profil", known=["profile", "spend"]),
    UnknownFeature(view="spend", feature="sum_7", known=["sum_7d", "count_1h"]),
]


def test_every_error_has_an_example_here() -> None:
    assert {type(one).__name__ for one in EXAMPLES} == set(errors.__all__)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda one: type(one).__name__)
def test_an_error_is_of_the_tree_says_its_parts_and_keeps_its_facts(error: GnomonError) -> None:
    assert isinstance(error, GnomonError)
    hint = [f"Hint: {error.hint}"] if error.hint else []
    assert str(error).split("\n") == [part for part in (error.what, error.instead, *hint) if part]
    assert all(getattr(error, name) == value for name, value in error.facts.items())


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda one: type(one).__name__)
def test_an_error_crosses_processes(error: GnomonError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert twin.__dict__ == error.__dict__


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            UnknownFeature(view="spend", feature="sum_7", known=["sum_7d", "count_1h"]),
            "view 'spend' has no feature 'sum_7'.\nIt has: sum_7d, count_1h.\nHint: did you mean 'sum_7d'?",
        ),
        (
            NotRegistered(kind="entity", name="user", known=[]),
            "no entity named 'user' is registered.\nRegistered: nothing.\n"
            "Hint: run `gnomon apply` (or store.apply) first.",
        ),
        (
            MissingExtra(package="polars", extra="polars", purpose="to_polars"),
            "to_polars needs the package 'polars', which is not installed.\nHint: pip install 'gnomon[polars]'",
        ),
        (
            NewerFormat(path="registry.db", found=9, supported=1),
            "registry.db has format 9, written by a newer gnomon.\nThis version reads formats up to 1.\n"
            "Hint: upgrade gnomon (pip install -U gnomon), or point the configuration at another file.",
        ),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, GnomonError) else "",
)
def test_texts(error: GnomonError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "nothing"), (1, "0"), (3, "0, 1, 2"), (4, "0, 1, 2 and 1 more"), (99, "0, 1, 2 and 96 more")],
)
def test_a_listing_counts_what_it_does_not_name(count: int, text: str) -> None:
    assert listing(range(count), limit=3) == text


def test_the_nearest_name_is_hinted_at_only_if_it_is_near() -> None:
    assert nearest("cuont", ["count", "sum"]) == "count"
    assert nearest("zzz", ["count", "sum"]) is None
    assert nearest_hint("cuont", ["count"], "look.") == "did you mean 'count'?"
    assert nearest_hint("zzz", ["count"], "look.") == "look."
