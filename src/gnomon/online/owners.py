"""Who fills a generation, and whether that process still does: what a killed one left can then be removed.

A generation that is being filled carries a mark: the machine, the process and a deadline. On the same machine the
process is looked up. From elsewhere, or out of another container, it cannot be seen, and the deadline decides, which
the process moves on as it works.

>>> begin("g1")
>>> mark = f"{process()}|{1_000 + LEASE}"
>>> lives("g1", mark, now=1_000), lives("g1", "", now=1_000)
(True, False)
>>> lives("g1", f"another machine|1|{1_000 + LEASE}", now=1_000 + LEASE)
False
>>> end("g1")
>>> lives("g1", mark, now=1_000)
False
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from gnomon.online.trust import boot_id, is_alive

__all__ = ["LEASE", "begin", "end", "lives", "process"]

LEASE = 3_600
"""Seconds a mark holds good for those who cannot see its process."""

_UNDER_WAY: set[tuple[int, str]] = set()
"""What this process fills, with its id: a forked child does not go on with what its parent began."""


def begin(generation: str) -> None:
    """Say that this process fills a generation from now on."""
    _UNDER_WAY.add((os.getpid(), generation))


def end(generation: str) -> None:
    """Say that this process fills it no more, whether it is done or given up."""
    _UNDER_WAY.discard((os.getpid(), generation))


def process() -> str:
    """This process, as the first part of a mark; the deadline, in seconds, follows after another `|`."""
    return f"{_machine()}|{os.getpid()}"


def lives(generation: str, mark: str, now: int) -> bool:
    """Whether somebody still fills a generation that carries a mark; an empty mark is nobody's."""
    if not mark:
        return False
    machine, pid, deadline = mark.split("|")
    if machine != _machine():
        return now < int(deadline)
    if int(pid) == os.getpid():
        return (os.getpid(), generation) in _UNDER_WAY
    return is_alive(int(pid))


@cache
def _machine() -> str:
    """Boot and process namespace: what is needed for a process id to mean the same process."""
    try:
        return f"{boot_id()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{boot_id()} {os.uname().nodename if hasattr(os, 'uname') else ''}"
