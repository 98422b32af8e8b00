"""A function of a user's own: what a definition says of it is data; the function itself is found when it runs.

A definition holds the source text, its hash, and where the function is. The function that was given when the
definition was made is remembered for this process; another process imports the module, and takes what it finds there
only if it is what was registered.

>>> def ratio(amount, mean):
...     return amount / mean
>>> code = Code.of(ratio)
>>> code.parameters, code.function(6, 3)
(('amount', 'mean'), 2.0)
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gnomon.core.own_code import changed, hash_of, imported
from gnomon.errors import DefinitionError, listing

__all__ = ["Code", "signature_of"]

Function = Callable[..., Any]

_MADE: dict[tuple[str, str], Function] = {}
"""Users' functions by place and hash: repos of one process may have different functions of one name."""

_ONE_BY_ONE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A function, as a registry holds it.

    Args:
        place: where it is: `module:name`.
        hash: a hash of its text, without decorators.
        text: its source text; empty where that cannot be read, as at a prompt.
        parameters: the inputs it takes, by name; empty where it takes all of them as one.
    """

    place: str = field(metadata={"describes": True})
    hash: str
    text: str = ""
    parameters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))
        if not isinstance(self.place, str) or not all(self.place.partition(":")):
            raise DefinitionError(f"there is no function at {self.place!r}.", hint="write 'module:function'.")

    @classmethod
    def of(cls, function: Function, *, whole: bool = False) -> Code:
        """What a registry holds of a function; the function is remembered.

        Args:
            function: the function.
            whole: whether it takes all inputs as one, by its one parameter.

        Raises:
            DefinitionError: it is no plain function, or takes what cannot be given.
        """
        _check_kind(function)
        parameters = () if whole else tuple(signature_of(function))
        text = _text_of(function)
        code = cls(place=_place_of(function), hash=_hash_of(function, text), text=text, parameters=parameters)
        _MADE[code.place, code.hash] = function
        return code

    @property
    def at_hand(self) -> bool:
        """Whether the function is in this process."""
        return (self.place, self.hash) in _MADE

    @property
    def function(self) -> Function:
        """The function.

        Raises:
            DefinitionError: it is not there, or is no longer what was registered.
        """
        if not self.at_hand:
            self._import()
        return _MADE[self.place, self.hash]

    def _import(self) -> None:
        if self.place.startswith("__main__:") or "<locals>" in self.place:
            raise DefinitionError(
                f"the function at {self.place!r} was defined in another process, where it cannot be found again.",
                hint="put it into a module of the repo, at the top level of a file, and apply again.",
            )
        if any(place == self.place for place, _ in _MADE):
            raise changed(self.place)
        found = imported(self.place, "function", "module:function")
        if inspect.isfunction(found):  # one that was given to a definition, not decorated into one
            text = _text_of(found)
            _MADE[self.place, _hash_of(found, text)] = found
        if not self.at_hand:
            raise changed(self.place)


def signature_of(function: Function) -> Mapping[str, inspect.Parameter]:
    """A function's parameters by name, each of which can be given one value.

    Raises:
        DefinitionError: it takes none, or some that cannot be given by their place.
    """
    parameters = inspect.signature(function).parameters
    name = getattr(function, "__name__", repr(function))
    if not parameters:
        raise DefinitionError(f"the function {name!r} takes no inputs.", hint="its parameters name the inputs.")
    odd = [str(one) for one in parameters.values() if one.kind not in _ONE_BY_ONE]
    if odd:
        raise DefinitionError(
            f"the function {name!r} takes {listing(odd)}.", hint="its parameters name the inputs, one by one."
        )
    return parameters


def _check_kind(function: Any) -> None:
    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        raise DefinitionError(f"{function!r:.80} is no function with a name.", hint="write it with def.")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise DefinitionError(
            f"the function {function.__name__!r} does not just return a value.", hint="write a plain function."
        )
    if function.__code__.co_freevars:
        raise DefinitionError(
            f"the function {function.__name__!r} uses variables of the function around it: "
            f"{listing(function.__code__.co_freevars)}.",
            hint="its text must say what it does: put it at the top level of a file, or write the values into it.",
        )


def _place_of(function: Function) -> str:
    return f"{function.__module__}:{function.__qualname__}"


def _text_of(function: Function) -> str:
    """The source text from `def` on; empty where it cannot be read."""
    try:
        text = textwrap.dedent(inspect.getsource(function))
        (made,) = ast.parse(text).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return ""
    return "\n".join(text.splitlines()[made.lineno - 1 :]) + "\n"


def _hash_of(function: Function, text: str) -> str:
    """Of a function without a text, what tells its compiled form from others in this process."""
    code = function.__code__
    return hash_of(text or repr((code.co_code, code.co_consts, code.co_names, code.co_varnames)))
