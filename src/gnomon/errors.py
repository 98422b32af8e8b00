"""Every error gnomon raises, as one tree whose branches say who must act.

An error states what is wrong, what was there instead, and the next step; the facts stay on it as attributes.

>>> raise UnknownFeature(view="card_spend", feature="amount_sum_7", known=["amount_sum_7d", "count_1h"])
Traceback (most recent call last):
    ...
gnomon.errors.UnknownFeature: view 'card_spend' has no feature 'amount_sum_7'.
It has: amount_sum_7d, count_1h.
Hint: did you mean 'amount_sum_7d'?
"""

# ruff: noqa: N818  (UnknownFeature says it; UnknownFeatureError would say it twice)

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "AccessDenied",
    "BackendError",
    "BrokerAway",
    "ConfigError",
    "ConflictError",
    "DefinitionError",
    "GnomonError",
    "MissingExtra",
    "NewerFormat",
    "NotRegistered",
    "RateLimited",
    "RequestError",
    "ServerAway",
    "SourceError",
    "UnknownFeature",
]


class GnomonError(Exception):
    """The root: catch it to catch everything gnomon raises on purpose.

    Args:
        what: one sentence, what is wrong, naming the object.
        instead: what was found instead, if that helps.
        hint: the next step.
        facts: attributes to set on the error, for programs that handle it.
    """

    def __init__(self, what: str, *, instead: str | None = None, hint: str | None = None, **facts: object) -> None:
        self.what, self.instead, self.hint, self.facts = what, instead, hint, facts
        for name, value in facts.items():
            setattr(self, name, value)
        super().__init__("\n".join(part for part in (what, instead, hint and f"Hint: {hint}") if part))

    def __reduce__(self) -> tuple[Any, ...]:
        # By its attributes, not by its class's arguments: an error must reach the parent of a worker process whole.
        return _revive, (type(self), *self.args), self.__dict__


class DefinitionError(GnomonError):
    """A definition is wrong: its author must change it."""


class ConfigError(DefinitionError):
    """`feature_store.yaml` or an option says something gnomon cannot follow."""


class RequestError(GnomonError):
    """A question is wrong: the caller must ask differently."""


class ConflictError(GnomonError):
    """Somebody else was faster: look at what changed, then try again."""


class BackendError(GnomonError):
    """A store, file or server failed: the operator must look. The driver's own error is the cause."""


class BrokerAway(BackendError):
    """A broker does not answer: it may come back, and reading then goes on where the log is."""


class ServerAway(BackendError):
    """A gnomon server does not answer a client: it may come back."""


class SourceError(BackendError):
    """A source's files are missing, broken or not what the definitions say."""


class NewerFormat(BackendError):
    """A file was written by a newer gnomon than this one."""

    def __init__(self, *, path: str, found: object, supported: int) -> None:
        super().__init__(
            f"{path} has format {found}, written by a newer gnomon.",
            instead=f"This version reads formats up to {supported}.",
            hint="upgrade gnomon (pip install -U gnomon), or point the configuration at another file.",
            path=path,
            found=found,
            supported=supported,
        )


class MissingExtra(GnomonError):
    """A feature needs a package that is not installed."""

    def __init__(self, *, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed.",
            hint=f"pip install 'gnomon[{extra}]'",
            package=package,
            extra=extra,
        )


class AccessDenied(RequestError):
    """A server does not let the caller do this: there is no key, or it is not good, or lacks a scope."""


class RateLimited(RequestError):
    """More requests came with a key than it allows: ask again later, or for more at once."""


class NotRegistered(RequestError):
    """A name that the registry does not know.

    >>> str(NotRegistered(kind="feature view", name="user_profil", known=["user_profile"])).splitlines()[-1]
    "Hint: did you mean 'user_profile'?"
    """

    def __init__(self, *, kind: str, name: str, known: Iterable[str], otherwise: str | None = None) -> None:
        names = sorted(known)
        super().__init__(
            f"no {kind} named {name!r} is registered.",
            instead=f"Registered: {listing(names)}.",
            hint=nearest_hint(name, names, otherwise=otherwise or "run `gnomon apply` (or store.apply) first."),
            kind=kind,
            name=name,
            known=names,
        )


class UnknownFeature(RequestError):
    """A view that has no such feature."""

    def __init__(self, *, view: str, feature: str, known: Iterable[str]) -> None:
        names = list(known)
        super().__init__(
            f"view {view!r} has no feature {feature!r}.",
            instead=f"It has: {listing(names)}.",
            hint=nearest_hint(feature, names, otherwise="add it to the view and apply again."),
            view=view,
            feature=feature,
            known=names,
        )


def _revive(cls: type[GnomonError], *args: object) -> GnomonError:
    error = cls.__new__(cls, *args)
    error.args = args
    return error


def listing(names: Iterable[object], limit: int = 12) -> str:
    """Name a few things and count the rest: `a, b, c and 4 more`."""
    shown = [str(name) for name in names]
    if not shown:
        return "nothing"
    rest = len(shown) - limit
    return ", ".join(shown[:limit]) + (f" and {rest} more" if rest > 0 else "")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, or None where none is close."""
    by_lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def nearest_hint(name: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean 'x'?`, or `otherwise` where nothing is close."""
    match = nearest(name, known)
    return f"did you mean {match!r}?" if match else otherwise
