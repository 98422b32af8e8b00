"""What is wrong with an expression for a value, said of one: the subset is that of conditions, as errors speak of it.

>>> str(of_value(DefinitionError("v: x: `f(a)` cannot stand in a condition.")))
'v: x: `f(a)` cannot stand in an expression.'
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gnomon.errors import DefinitionError

__all__ = ["of_value", "said_of_values"]

WORDS = (
    ("cannot stand in a condition.", "cannot stand in an expression."),
    (": the condition nests more than", ": the expression nests more than"),
    ("a condition sees one event and its own columns.", "an expression sees one row and its inputs."),
    ("a condition sees one event; aggregate by the aggregation it stands on.", "let a feature view aggregate them."),
    ("a condition sees one event; ", "an expression sees one row; "),
    (
        "write one condition on the event's columns, such as \"status = 'declined' and amount > 10\".",
        'write one expression of the inputs, such as "amount / nullif(mean, 0)".',
    ),
    ("write one condition on the event's columns.", "write one expression of the inputs."),
    ("write only what would stand after WHERE.", "write the expression alone, such as: amount / nullif(mean, 0)"),
    ("write one expression, joined by and / or.", "write one expression for each feature."),
    ("write the condition as SQL: \"status = 'ok'\".", 'write the expression as SQL: "amount / 2".'),
    ("write a condition, or leave `where` out.", "write an expression of the inputs."),
    ("name the event's own columns only.", "name the view's inputs only."),
    ("arrays cannot be used in a condition.", "arrays cannot be used in an expression."),
    ("conditions take single values only.", "expressions take single values only."),
)


def of_value(wrong: DefinitionError) -> DefinitionError:
    """The same error, said of an expression; what the user wrote stays as it is."""
    what, hint = wrong.what, wrong.hint
    for before, after in WORDS:
        what, hint = what.replace(before, after), hint and hint.replace(before, after)
    return DefinitionError(what, instead=wrong.instead, hint=hint, **wrong.facts)


@contextmanager
def said_of_values(value: bool = True) -> Iterator[None]:
    """Errors inside are said of expressions for values, if it is one."""
    try:
        yield
    except DefinitionError as wrong:
        if not value:
            raise
        raise of_value(wrong) from wrong.__cause__
