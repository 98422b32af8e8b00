"""The latest row as of an instant, as SQL over two small relations: the one place where that rule is written.

A question about one view is answered from two inputs, whatever the engine:

* `asked(r, t, k0 … kn)`: row number, instant in µs, join keys, one row per row of the spine;
* a SELECT of the view's rows: `k0 … kn`, event time `e`, known time `w` (µs), and `f0 … fm`, every column of
  the view in schema order.

Keys become small integers `c`; a narrow as-of join over (c, time) finds *which event time* answers each asked row;
only then are the wide columns fetched, once per distinct answer. Ties are looked for and settled only where they are.

A key with very many rows is cut into slices of time, so that no part of the join is larger than memory. Where a slice
begins stands a row that carries what the slices before it come to; within a slice the rule is then as above.

With `as_known="then"` the rows of a key are first turned into a staircase: ordered by v = max(e, w), the instant from
which a row is usable, with the running maximum m of event times. The as-of join on v then yields m.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gnomon import types
from gnomon.clock import micros_of
from gnomon.plan.questions import AsKnown, ViewQuestion
from gnomon.types import Array, FeatureType

__all__ = ["Step", "best_first", "instants_query", "keys_step", "steps"]

HEAVY = 1 << 24
"""A key with more rows than this is cut into slices."""
SLICES = 1024


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a plan.

    Args:
        sql: the statement.
        unless: a query of one boolean; where it is true the step is not needed.
    """

    sql: str
    unless: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """One view's question, ready to be written as SQL.

    Args:
        question: the view, its spine columns and the features asked.
        as_known: how much hindsight is allowed.
        rows: a SELECT that gives the view's rows as k…, e, w, f….
        tag: a suffix that keeps this view's tables apart from the other views'.
        span: the least and the greatest instant asked, in µs.
    """

    question: ViewQuestion
    as_known: AsKnown
    rows: str
    tag: str
    span: tuple[int, int] = (0, 0)

    @property
    def keys(self) -> tuple[str, ...]:
        """The key columns k0 … kn."""
        return tuple(f"k{place}" for place in range(len(self.question.view.join_keys)))

    @property
    def asked_features(self) -> list[str]:
        """The feature columns asked for, as f…."""
        names = self.question.view.feature_names
        return [f"f{names.index(feature)}" for feature, _ in self.question.features]

    @property
    def same_key(self) -> str:
        """The condition that a source row p is about a key q of the spine."""
        return " and ".join(f"p.{key} = q.{key}" for key in self.keys) or "true"

    @property
    def ttl(self) -> int | None:
        """How long a row is good for, in µs; None for ever."""
        return None if self.question.view.ttl is None else micros_of(self.question.view.ttl)


def steps(
    question: ViewQuestion, as_known: AsKnown, rows: str, tag: str, span: tuple[int, int], most_rows: int
) -> list[Step]:
    """The statements that make `link{tag}(r, id)` and `found{tag}(id, f…)` from `asked{tag}` and the view's rows.

    Args:
        question: the view, its spine columns and the features asked.
        as_known: how much hindsight is allowed.
        rows: a SELECT that gives the view's rows as k…, e, w, f….
        tag: a suffix that keeps this view's tables apart from the other views'.
        span: the least and the greatest instant asked, in µs.
        most_rows: the source has no more rows than this.
    """
    plan = AsOf(question=question, as_known=as_known, rows=rows, tag=tag, span=span)
    hits = [Step(_hits(plan))] if most_rows <= HEAVY else _hits_by_slices(plan)
    made = [Step(keys_step(plan.keys, plan.tag)), Step(_spine(plan)), *hits, Step(_answers(plan)), Step(_fetch(plan))]
    made.append(Step(f"create temp table link{tag} as select r, id from hit{tag} join answer{tag} using (c, e)"))
    no_ties = f"select (select count(*) from found{tag}) = (select count(*) from answer{tag})"
    made += [Step(sql, unless=no_ties) for sql in _settle_ties(plan)]
    return made


def known_filter(as_known: AsKnown) -> str:
    """The condition on a source row p that says an instant K already knew it; nothing for the other kinds."""
    return "" if isinstance(as_known, str) else f" and p.w <= {as_known}"


def best_first(schema: Sequence[tuple[str, FeatureType]]) -> str:
    """ORDER BY terms that put the winner of a tie first: greatest known time, then columns in schema order.

    null < −inf < … < −0.0 < 0.0 < … < +inf < NaN; arrays element by element.

    >>> best_first([("f0", types.Int64)])
    'w desc, f0 desc nulls last'
    """
    return ", ".join(["w desc", *(f"{term} desc nulls last" for column in schema for term in _comparable(*column))])


def instants_query(question: ViewQuestion, as_known: AsKnown, rows: str, start: int, end: int) -> str:
    """(r, t): the instants in (start, end] at which the answer for row r of `asked(r, k…)` may change.

    A row changes it when it becomes usable, and once more when its ttl is over.
    """
    plan = AsOf(question=question, as_known=as_known, rows=rows, tag="")
    usable = "greatest(p.e, p.w)" if as_known == "then" else "p.e"
    instants = [usable] if plan.ttl is None else [usable, f"greatest({usable}, p.e + {plan.ttl} + 1)"]
    return f"""
        select distinct r, t from (
            select q.r, unnest([{", ".join(instants)}]) as t from ({rows}) p join asked q on {plan.same_key}
            where p.e <= {end}{known_filter(as_known)}
        ) where t > {start} and t <= {end}
    """


def keys_step(keys: Sequence[str], tag: str) -> str:
    """Number the distinct keys of `asked{tag}`, in `keys{tag}(c, k…)`; one with a null part is none."""
    there = " and ".join(f"{key} is not null" for key in keys) or "true"
    distinct = f"distinct {', '.join(keys)}" if keys else "1 as whole_world limit 1"
    numbered = ", ".join(["row_number() over () as c", *keys])
    source = f"select {distinct} from asked{tag} where {there}" if keys else f"select {distinct}"
    return f"create temp table keys{tag} as select {numbered} from ({source})"


def _spine(plan: AsOf) -> str:
    same = " and ".join(f"a.{key} = q.{key}" for key in plan.keys) or "true"
    tag = plan.tag
    return f"create temp table spine{tag} as select a.r, a.t, q.c from asked{tag} a join keys{tag} q on {same}"


def _hits(plan: AsOf) -> str:
    """hit(r, c, e, t): the event time that answers each asked row, if one does."""
    return _joined(plan, f"spine{plan.tag}", _candidates(plan), "c")


def _hits_by_slices(plan: AsOf) -> list[Step]:
    """The same; and where a key is heavy, by slices n of its time.

    Rows of a slice never see those before it, but one row that stands for all of them: the greatest event time so far,
    usable from just before the slice begins. It is the answer, or the running maximum to start from.
    """
    tag = plan.tag
    sliced = f"select c, {_slice('v')} as n, v, e from ({_candidates(plan)}) left join heavy{tag} using (c)"
    spine = f"(select r, c, t, {_slice('t')} as n from spine{tag} left join heavy{tag} using (c))"
    return [
        Step(f"""
            create temp table heavy{tag} as
            select c, min(v) as first, (max(v) - min(v)) // {SLICES} + 1 as width from ({_candidates(plan)})
            group by c having count(*) > {HEAVY}
        """),
        Step(_hits(plan), unless=f"select count(*) > 0 from heavy{tag}"),
        Step(
            f"""
            create temp table carried{tag} as
            select c, n, first + n * width - 1 as v, max(e) over (
                partition by c order by n rows between unbounded preceding and 1 preceding
            ) as e
            from (select c, first, width, unnest(range({SLICES})) as n from heavy{tag})
            left join (select c, n, max(e) as e from ({sliced}) semi join heavy{tag} using (c) group by c, n)
            using (c, n)
            """,
            unless=f"select count(*) = 0 from heavy{tag}",
        ),
        Step(
            _joined(plan, spine, f"{sliced} union all from carried{tag} where e is not null", "c, n"),
            unless=f"select count(*) = 0 from heavy{tag}",
        ),
    ]


def _slice(instant: str) -> str:
    """In which slice of its key an instant lies; keys that are not heavy have one."""
    return f"case when width > 0 then least(greatest({instant} - first, 0) // width, {SLICES - 1}) else 0 end"


def _candidates(plan: AsOf) -> str:
    """(c, v, e): the rows that may answer, each with the instant v from which it is usable."""
    good_for = "" if plan.ttl is None else f" and p.e >= {plan.span[0] - plan.ttl}"
    usable = "greatest(p.e, p.w)" if plan.as_known == "then" else "p.e"
    return f"""
        select q.c, {usable} as v, p.e from ({plan.rows}) p join keys{plan.tag} q on {plan.same_key}
        where {usable} <= {plan.span[1]}{known_filter(plan.as_known)}{good_for}
    """


def _joined(plan: AsOf, spine: str, candidates: str, part: str) -> str:
    """hit(r, c, e, t) by an as-of join within parts: keys, or slices of keys."""
    narrow = candidates
    if plan.as_known == "then":
        climbing = f"select *, max(e) over (partition by {part} order by v) as m from ({candidates})"
        narrow = f"select {part}, v, e from ({climbing}) where e = m"
    same = " and ".join(f"s.{column} = p.{column}" for column in part.split(", "))
    fresh = "" if plan.ttl is None else f" where s.t - p.e <= {plan.ttl}"
    return f"""
        create temp table hit{plan.tag} as
        select s.r, s.c, p.e, s.t from {spine} s asof join ({narrow}) p on {same} and s.t >= p.v{fresh}
    """


def _answers(plan: AsOf) -> str:
    """answer(id, c, e): each distinct answer once, so that a popular row is fetched once."""
    tag = plan.tag
    return f"""
        create temp table answer{tag} as
        select row_number() over () as id, c, e from (select distinct c, e from hit{tag})
    """


def _fetch(plan: AsOf) -> str:
    """found(id, w, f…): the wide columns of the answers; more than one row where there is a tie."""
    tag = plan.tag
    columns = "".join(f", p.{feature}" for feature in dict.fromkeys(plan.asked_features))
    return f"""
        create temp table found{tag} as
        select q.id, p.w{columns} from ({plan.rows}) p
        join (select * from answer{tag} join keys{tag} using (c)) q
        on {plan.same_key} and p.e = q.e{known_filter(plan.as_known)}
    """


def _settle_ties(plan: AsOf) -> list[str]:
    """Replace every answer that several rows share by the greatest of them in (known time, columns).

    Under "then" which of them is known depends on the instant asked: an as-of join on known time says which known
    time counts for each asked row, and only those distinct answers are ranked.
    """
    tag, view = plan.tag, plan.question.view
    schema = [(f"f{place}", field.dtype) for place, field in enumerate(view.schema)]
    tied = f"select id from found{tag} group by id having count(*) > 1"
    wide = "".join(f", p.{name}" for name, _ in schema)
    rivals = f"""
        create temp table rival{tag} as
        select q.id, p.w{wide} from ({plan.rows}) p
        join (select * from answer{tag} join keys{tag} using (c) where id in ({tied})) q
        on {plan.same_key} and p.e = q.e{known_filter(plan.as_known)}
    """
    by_known_time = _rivals_by_known_time(plan) if plan.as_known == "then" else []
    keep = ", ".join(["id", "w", *dict.fromkeys(plan.asked_features)])
    return [
        rivals,
        *by_known_time,
        f"delete from found{tag} where id in ({tied})",
        f"""
        insert into found{tag} select {keep} from rival{tag}
        qualify row_number() over (partition by id order by {best_first(schema)}) = 1
        """,
    ]


def _rivals_by_known_time(plan: AsOf) -> list[str]:
    """Give every (tied answer, known time that counts) an id of its own, and link the asked rows to it."""
    tag = plan.tag
    return [
        f"""
        create temp table late{tag} as
        select l.r, l.id, p.w from (select r, id, t from link{tag} join hit{tag} using (r)) l
        asof join (select distinct id, w from rival{tag}) p on l.id = p.id and l.t >= p.w
        """,
        f"""
        create temp table split{tag} as
        select id, w, (select max(id) from answer{tag}) + row_number() over () as new
        from (select distinct id, w from late{tag})
        """,
        f"delete from link{tag} where r in (select r from late{tag})",
        f"insert into link{tag} select r, new from late{tag} join split{tag} using (id, w)",
        f"""
        create or replace temp table rival{tag} as
        select s.new as id, p.* exclude (id) from rival{tag} p join split{tag} s on p.id = s.id and p.w = s.w
        """,
    ]


def _comparable(name: str, dtype: FeatureType) -> list[str]:
    """SQL terms whose order is the contract's order of values."""
    if dtype in (types.Float32, types.Float64):
        return [name, _negative_zero_last(name)]
    if isinstance(dtype, Array):
        sign = f", s: {_negative_zero_last('x')}" if dtype.element in (types.Float32, types.Float64) else ""
        return [f"list_transform({name}, lambda x: {{n: x is not null, v: x{sign}}})"]
    return [name]


def _negative_zero_last(term: str) -> str:
    return f"case when {term} = 0 then not signbit({term}) end"
