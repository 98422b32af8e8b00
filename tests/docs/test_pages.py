"""The pages hang together, and leave nothing public out."""

from __future__ import annotations

import inspect
import re
from functools import cached_property
from pathlib import Path
from types import FunctionType

import pytest
import yaml

import gnomon
from gnomon import FeatureStore, errors, types
from gnomon.config import KEYS
from gnomon.flows import materialize, reproduce, responses, training
from gnomon.flows.explanation import Explanation
from gnomon.plan.lineage import Lineage

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINK = re.compile(r"\[[^\]\n]*(?:\n[^\]\n]*)?\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(`{3,}).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def code(page: Path) -> str:
    """A page's blocks of code, and what stands between backticks."""
    text = page.read_text(encoding="utf-8")
    blocks = [found.group() for found in FENCE.finditer(text)]
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", FENCE.sub("", text))])


def links(page: Path) -> list[tuple[Path, str]]:
    """(file, anchor) of a page's links that stay in the repo."""
    found = (target.partition("#") for target in LINK.findall(prose(page)) if "://" not in target)
    return [((page.parent / file).resolve() if file else page, anchor) for file, _, anchor in found]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def nav(entry: object) -> list[str]:
    """The pages in a part of mkdocs.yml's nav."""
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    assert not isinstance(entry, (int, float))
    return [page for part in parts for page in nav(part)]  # type: ignore[union-attr]


def members(cls: type) -> list[str]:
    """A class's public methods and properties."""
    kinds = (FunctionType, property, cached_property)
    return [name for name, one in vars(cls).items() if isinstance(one, kinds) and not name.startswith("_")]


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    nowhere = [str(file) for file, _ in links(page) if not file.exists()]
    assert nowhere == []
    off = [f"{file.name}#{anchor}" for file, anchor in links(page) if anchor and anchor not in anchors(file)]
    assert off == []


def test_every_page_is_reached_from_the_first() -> None:
    reached: set[Path] = set()
    waiting = {DOCS / "index.md"}
    while waiting:
        page = waiting.pop()
        reached.add(page)
        waiting |= {file for file, _ in links(page) if file.suffix == ".md" and file.exists()} - reached
    assert sorted(set(PAGES) - reached) == []


def test_every_page_stands_in_the_nav_once() -> None:
    listed = nav(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert sorted(listed) == [page.relative_to(DOCS).as_posix() for page in PAGES]


def test_every_decision_is_listed_with_the_design() -> None:
    listed = {file for file, _ in links(DOCS / "design.md")}
    assert set((DOCS / "decisions").glob("*.md")) - listed == set()


def test_the_design_names_every_folder_and_every_module_of_the_middle_floors() -> None:
    package = ROOT / "src" / "gnomon"
    folders = [path.parent.relative_to(package).as_posix() for path in package.rglob("__init__.py")]
    modules = [path.stem for floor in ("core", "plan", "flows") for path in (package / floor).glob("[!_]*.py")]
    page = (DOCS / "design.md").read_text(encoding="utf-8")
    named = [name.rpartition("/")[2] for name in (*folders, *modules) if name != "." and "examples/" not in name]
    assert [name for name in named if not re.search(rf"\b{name}\b", page)] == []


def test_the_readme_starts_with_two_commands() -> None:
    name, sentence, block = (ROOT / "README.md").read_text(encoding="utf-8").split("\n\n")[:3]
    assert name == "# gnomon"
    assert sentence.count(".") == 1
    commands = [line.partition("#")[0].strip() for line in block.splitlines()[1:-1]]
    assert commands == ["make demo", "make test"]


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in gnomon.__all__ if not name.startswith("_")),
        *errors.__all__,
        *types.__all__,
        *members(FeatureStore),
        *members(training.TrainingSet),
        *members(responses.OnlineResponse),
        *members(Explanation),
        *members(Lineage),
        *(status.value for status in responses.Status),
        *(name for name in (*training.__all__, *reproduce.__all__) if name.endswith("Warning")),
        *members(materialize.Progress),
        *KEYS,
    ],
)
def test_every_public_name_stands_on_some_page(name: str) -> None:
    assert re.search(rf"\b{name}\b", "\n".join(map(code, PAGES))), f"{name} is on no page"


def test_every_argument_of_a_training_question_is_explained_where_one_is_asked() -> None:
    page = code(DOCS / "training-sets.md")
    arguments = [name for name in inspect.signature(FeatureStore.get_historical_features).parameters if name != "self"]
    assert [name for name in arguments if name not in page] == []
