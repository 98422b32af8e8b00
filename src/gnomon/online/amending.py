"""Changes run until each has said what to store: what every store does with an `amend` before it stores anything.

All changes go on side by side, so that a store looks up what all of them want in one step.

>>> def counted(name):
...     def change():
...         (stored,) = yield [name]
...         return {name: b"%d" % (int(stored or 0) + 1)}
...     return change
>>> effect = in_one_step([counted(b"a"), counted(b"b")], lambda keys: [{b"a": b"41"}.get(key) for key in keys])
>>> effect.puts, effect.more
({b'a': b'42', b'b': b'1'}, 1)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gnomon.contracts.online import Change

__all__ = ["Effect", "in_one_step", "settled"]

T = TypeVar("T")
Values = list[bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What some changes come to, for a store that does all of it in one transaction.

    Args:
        puts: values to store.
        gone: keys to remove; all of them are there.
        more: how many keys more there are afterwards.
    """

    puts: dict[bytes, bytes]
    gone: list[bytes]
    more: int

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.puts or self.gone)


def in_one_step(changes: Sequence[Change], fetch: Callable[[Sequence[bytes]], Sequence[bytes | None]]) -> Effect:
    """What changes come to, run inside a transaction.

    Args:
        changes: as `OnlineStore.amend` has them.
        fetch: gives the values of keys, as the transaction sees them.

    Raises:
        ValueError: a change wants to store something and has asked for nothing.
    """
    have: dict[bytes, bytes | None] = {}

    def looked_up(wanted: Sequence[Sequence[bytes]]) -> list[Values]:
        keys = [key for some in wanted for key in some]
        have.update(zip(keys, fetch(keys), strict=True))
        return [[have[key] for key in some] for some in wanted]

    changed = {key: value for one in settled(changes, looked_up) for key, value in one.items()}
    if unseen := [key for key in changed if key not in have]:
        looked_up([unseen])
    puts = {key: value for key, value in changed.items() if value is not None}
    gone = [key for key, value in changed.items() if value is None and have[key] is not None]
    return Effect(puts=puts, gone=gone, more=sum(have[key] is None for key in puts) - len(gone))


def settled(
    changes: Sequence[Callable[[], Generator[Sequence[bytes], Values, T]]],
    fetch: Callable[[list[Sequence[bytes]]], Sequence[Values]],
) -> list[T]:
    """What each change gives back, in their order.

    Args:
        changes: generator functions that ask for the values of keys.
        fetch: gives the values of several lists of keys, each the wish of one change.

    Raises:
        ValueError: a change wants to store something and has asked for nothing.
    """
    under_way = [(place, change()) for place, change in enumerate(changes)]
    values: Sequence[Any] = [None] * len(changes)  # which is what starts a generator
    done: dict[int, T] = {}
    while under_way:
        asking, wanted = [], []
        for (place, running), found in zip(under_way, values, strict=True):
            keys: Sequence[bytes] = ()
            try:
                keys = running.send(found)
                wanted.append(keys)
                asking.append((place, running))
            except StopIteration as end:
                done[place] = end.value
            if found is None and not keys and done.get(place, True):  # all but one that ends with nothing to do
                raise ValueError("a change asks for its guard before it stores anything")
        under_way, values = asking, fetch(wanted) if wanted else []
    return [done[place] for place in range(len(changes))]
