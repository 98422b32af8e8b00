"""A registry's tables, the questions asked of them, and what a row means.

A definition is a row with the versions it holds from and until, so any earlier state is a filter:

    since ≤ version and (until is null or until > version)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import sqlalchemy as sa

from gnomon.clock import instant_text
from gnomon.contracts.keys import ApiKey, Scope
from gnomon.contracts.registry import Change, Commit, Run
from gnomon.definitions.catalog import KIND_WORDS
from gnomon.errors import listing

metadata = sa.MetaData()
meta = sa.Table(
    "gnomon_meta",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
commits = sa.Table(
    "gnomon_commits",
    metadata,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("changes", sa.Text, nullable=False),
)
definitions = sa.Table(
    "gnomon_definitions",
    metadata,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("since", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("until", sa.BigInteger),
    sa.Column("document", sa.Text, nullable=False),
)
runs = sa.Table(
    "gnomon_runs",
    metadata,
    # SQLite counts only a column of type INTEGER up by itself.
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("view", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("start", sa.BigInteger),
    sa.Column("end", sa.BigInteger, nullable=False),
    sa.Column("started", sa.BigInteger, nullable=False),
    sa.Column("finished", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("replaced", sa.Boolean, nullable=False),
    sa.Column("files", sa.Text, nullable=False),
    sa.Index("gnomon_runs_of_view", "project", "view", "id"),
)
keys = sa.Table(
    "gnomon_keys",
    sa.MetaData(),  # not one of the others: registries of before it have none, and get it with their first key
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("projects", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("expires", sa.BigInteger),
    sa.Column("revoked", sa.BigInteger),
    sa.Column("rate_limit", sa.BigInteger),
)


def newest(project: str) -> sa.Select[Any]:
    """A project's last commit."""
    mine = sa.select(commits).where(commits.c.project == project)
    return mine.order_by(commits.c.version.desc()).limit(1)


def documents(project: str, version: int | None) -> sa.Select[Any]:
    """The definitions that stand at a version, by default now."""
    mine = sa.select(definitions).where(definitions.c.project == project)
    until = definitions.c.until
    if version is None:
        return mine.where(until.is_(None))
    return mine.where(definitions.c.since <= version, sa.or_(until.is_(None), until > version))


def history(project: str, limit: int | None) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """The commits asked, and every document that began or ended with one of them."""
    wanted = sa.select(commits).where(commits.c.project == project).order_by(commits.c.version.desc())
    wanted = wanted if limit is None else wanted.limit(max(limit, 0))
    asked = wanted.subquery()
    oldest = sa.select(sa.func.min(asked.c.version)).scalar_subquery()
    touched = sa.or_(definitions.c.since >= oldest, definitions.c.until >= oldest)
    return wanted, sa.select(definitions).where(definitions.c.project == project, touched)


def same(table: sa.Table, row: Mapping[str, Any]) -> sa.Select[Any]:
    """The rows of a table that are exactly this one."""
    return sa.select(sa.literal(1)).select_from(table).where(*(table.c[name] == row[name] for name in row)).limit(1)


def endings(project: str, version: int) -> sa.Update:
    """Ends the definitions that `k` and `i` name."""
    of = definitions.c
    these = sa.and_(of.project == project, of.kind == sa.bindparam("k"), of.id == sa.bindparam("i"))
    return sa.update(definitions).where(these, of.until.is_(None)).values(until=version)


def commit_row(project: str, version: int, changes: Sequence[Change], at: int, by: str) -> dict[str, Any]:
    """A commit as its row says it; the documents stand in their own rows."""
    facts = ("kind", "id", "changes_values", "affects")
    told = json.dumps([{name: getattr(change, name) for name in facts} for change in changes])
    return {"project": project, "version": version, "at": at, "by": by, "changes": told}


def commit_of(row: Any, before: Mapping[Any, str], after: Mapping[Any, str]) -> Commit:
    """A commit from its row, and the documents that ended and began with it by (version, kind, id)."""

    def change(facts: dict[str, Any]) -> Change:
        key = row.version, facts["kind"], facts["id"]
        was, now = (json.loads(texts.get(key, "null")) for texts in (before, after))
        return Change(**{**facts, "affects": tuple(facts["affects"])}, before=was, after=now)

    return Commit(version=row.version, at=row.at, by=row.by, changes=tuple(map(change, json.loads(row.changes))))


def run_row(project: str, run: Run) -> dict[str, Any]:
    """A run as its row."""
    return {**asdict(run), "project": project, "files": json.dumps(run.files)}


def run_of(row: Mapping[str, Any]) -> Run:
    """A run from its row."""
    values = {one.name: row[one.name] for one in fields(Run)}
    return Run(**{**values, "files": tuple((path, size, time) for path, size, time in json.loads(row["files"]))})


def key_row(key: ApiKey) -> dict[str, Any]:
    """An API key as its row."""
    return {**asdict(key), "scopes": json.dumps(key.scopes), "projects": json.dumps(key.projects)}


def key_of(row: Mapping[str, Any]) -> ApiKey:
    """An API key from its row; what a newer gnomon lets it do besides is left out."""
    values = {one.name: row[one.name] for one in fields(ApiKey)}
    scopes = tuple(Scope(one) for one in json.loads(row["scopes"]) if one in set(Scope))
    return ApiKey(**{**values, "scopes": scopes, "projects": tuple(json.loads(row["projects"]))})


def text_of(document: dict[str, Any] | None) -> str | None:
    """A document as it is kept."""
    return None if document is None else json.dumps(document, sort_keys=True)


def named(kind: str, name: str) -> str:
    """`feature view profile@1`."""
    return f"{KIND_WORDS.get(kind, kind)} {name}"


def told(commit: Any) -> str:
    """A sentence about a commit's row."""
    changed = listing(named(one["kind"], one["id"]) for one in json.loads(commit.changes))
    return f"Version {commit.version} is by {commit.by}, {instant_text(commit.at)}: {changed}."
