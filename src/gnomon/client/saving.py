"""Training sets into files: whole ones or none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import IO

import httpx

from gnomon.client.calls import ARROW, JSON, PARQUET
from gnomon.client.problems import away
from gnomon.errors import RequestError

__all__ = ["accepted", "saving", "training_accept"]

_FORMS = {".parquet": PARQUET, ".arrows": ARROW, ".arrow": ARROW}


def training_accept() -> str:
    """What a training set shall come as: Arrow, where something can read it."""
    return ARROW if util.find_spec("pyarrow") is not None else JSON


def accepted(path: str | Path) -> str:
    """What a file shall hold, by its name.

    Raises:
        RequestError: it does not say.
    """
    found = _FORMS.get(Path(path).suffix)
    if found is None:
        raise RequestError(
            f"{str(path)!r} does not say what the file shall hold.", hint="call it ….parquet, or ….arrows."
        )
    return found


@contextmanager
def saving(path: str | Path, base_url: str) -> Iterator[IO[bytes]]:
    """A file to write to, which appears under its name at the end.

    Args:
        path: its name.
        base_url: whose answer it is.

    Raises:
        ServerAway: the answer broke off.
    """
    scratch = Path(f"{path}.{os.getpid()}.part")
    try:
        with scratch.open("wb") as file:
            yield file
        scratch.replace(path)
    except httpx.TransportError as error:
        raise away(base_url, error) from error
    finally:
        scratch.unlink(missing_ok=True)
