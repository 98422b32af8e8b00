"""A repo's definitions are what its Python files leave at module level.

Files are imported under their own names with the repo first on the path, so that they can import each other; afterwards
those names are given back, so that another repo's files of the same names do not meet them.
"""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from gnomon.definitions.codec import NAMED, Definition
from gnomon.errors import DefinitionError, GnomonError

__all__ = ["bring_functions", "repo_definitions", "repo_files"]

IGNORE_FILES = (".gnomonignore", ".feastignore")
_SKIPPED_FOLDERS = {"__pycache__", "node_modules", "site-packages", "tests"}
_SKIPPED_FILES = ("_*.py", "test_*.py", "*_test.py", "conftest.py", "setup.py")

_ANOTHERS = ("pyvenv.cfg", "feature_store.yaml")
"""What a folder holds that is a virtual environment, or another repo."""

_RESERVED = {*sys.stdlib_module_names, "gnomon"}

_importing = threading.RLock()
_busy: list[Path] = []


def repo_definitions(repo_path: Path | str) -> list[Definition]:
    """The definitions at module level of a repo's Python files, each object once, files in order of their paths.

    Raises:
        DefinitionError: a file fails when imported; the message names file and line, the cause is its own error.
    """
    repo = Path(repo_path).resolve()
    files = repo_files(repo)
    found: dict[int, Definition] = {}
    with _importing:
        if _busy:
            raise DefinitionError(
                f"the files of {_busy[0]} are being imported, and one of them applies them.",
                hint='put what should run only as a script under `if __name__ == "__main__":`.',
            )
        with _on_path(repo, files):
            for file in files:
                found.update({id(one): one for one in vars(_load(repo, file)).values() if isinstance(one, NAMED)})
    return list(found.values())


def bring_functions(repo_path: Path | str, places: Iterable[str]) -> None:
    """Import the repo's files that have some functions, so that these are at hand in this process.

    What cannot be imported, or is no file of the repo, is left to who wants it to say.

    Args:
        repo_path: the repo.
        places: where the functions are: `module:name`.
    """
    repo = Path(repo_path).resolve()
    names = {place.partition(":")[0].removeprefix("_repo_") for place in places}
    with _importing:
        if _busy:
            return
        files = repo_files(repo)
        wanted = [file for file in files if _module(repo, file) in names]
        if wanted:
            with _on_path(repo, files):
                for file in wanted:
                    with suppress(DefinitionError):
                        _load(repo, file)


def repo_files(repo: Path) -> list[Path]:
    """The Python files that may define something, ordered.

    Left out: hidden folders, virtual environments, folders that are repos of their own, `tests`, files called `_*.py`,
    `test_*.py`, `conftest.py` or `setup.py`, and what a `.gnomonignore` (or `.feastignore`) names, one glob relative
    to the repo a line.
    """
    return sorted(_walk(repo, repo, tuple(_ignored(repo))))


def _walk(repo: Path, folder: Path, ignored: Sequence[str]) -> Iterator[Path]:
    for one in folder.iterdir():
        relative = one.relative_to(repo).as_posix()
        if one.name.startswith(".") or any(fnmatch.fnmatch(relative, pattern) for pattern in ignored):
            continue
        if one.is_dir():
            if one.name not in _SKIPPED_FOLDERS and not any((one / name).exists() for name in _ANOTHERS):
                yield from _walk(repo, one, ignored)
        elif one.suffix == ".py" and not any(fnmatch.fnmatch(one.name, pattern) for pattern in _SKIPPED_FILES):
            yield one


def _ignored(repo: Path) -> Iterator[str]:
    for name in IGNORE_FILES:
        if (repo / name).is_file():
            lines = (line.partition("#")[0].strip() for line in (repo / name).read_text("utf-8").splitlines())
            yield from (line.removeprefix("./").rstrip("/") for line in lines if line)


@contextmanager
def _on_path(repo: Path, files: Sequence[Path]) -> Iterator[None]:
    """The repo first on the path and its names free, until its files are imported; then everything as before."""
    names = {_top(file, repo) for file in files} - _RESERVED
    hidden = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in names}
    for name in hidden:
        del sys.modules[name]
    path, wrote, before = list(sys.path), sys.dont_write_bytecode, set(sys.modules)
    sys.path.insert(0, str(repo))
    sys.dont_write_bytecode = True  # a file edited twice in a second must not be read from its cache
    importlib.invalidate_caches()
    _busy.append(repo)
    try:
        yield
    finally:
        _busy.remove(repo)
        sys.path[:], sys.dont_write_bytecode = path, wrote
        for name in [name for name in sys.modules if name not in before and _is_of(repo, sys.modules[name])]:
            del sys.modules[name]
        sys.modules.update(hidden)


def _load(repo: Path, file: Path) -> ModuleType:
    name = _module(repo, file)
    if _top(file, repo) in _RESERVED:
        name = f"_repo_{name}"  # the standard library's own module of that name stays where it is
    if name in sys.modules and _is_of(repo, sys.modules[name]):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise DefinitionError(f"{file} cannot be imported.", hint="is it a Python file?")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the repo's own code, which may raise anything
        raise _failed(repo, file, error) from error
    return module


def _module(repo: Path, file: Path) -> str:
    return ".".join(file.relative_to(repo).with_suffix("").parts)


def _top(file: Path, repo: Path) -> str:
    return file.relative_to(repo).parts[0].removesuffix(".py")


def _is_of(repo: Path, module: ModuleType) -> bool:
    """Whether a module is the repo's own; packages installed in an environment inside it are not."""
    spec = getattr(module, "__spec__", None)
    places = [getattr(module, "__file__", None), *(getattr(spec, "submodule_search_locations", None) or ())]
    inside = [Path(place).relative_to(repo) for place in places if place and Path(place).is_relative_to(repo)]
    return any("site-packages" not in one.parts and not any(part[0] == "." for part in one.parts) for one in inside)


def _failed(repo: Path, file: Path, error: BaseException) -> DefinitionError:
    where = _place(repo, file, error)
    if isinstance(error, GnomonError):
        return DefinitionError(f"{where}: {error.what}", instead=error.instead, hint=error.hint)
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    hint = f"the file must import without errors; try: python {file.name}"
    if isinstance(error, SystemExit):
        hint = 'what should run only as a script goes under `if __name__ == "__main__":`.'
    return DefinitionError(f"{where}: {told}", hint=hint)


def _place(repo: Path, file: Path, error: BaseException) -> str:
    """`path:line` of the innermost line of the repo's own that was running."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(repo)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else str(file)
