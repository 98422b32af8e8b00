"""What a request asks: Feast's document, and what is gnomon's own, from JSON, MessagePack or a URL.

{"features": ["profile:age"], "entities": {"user_id": [7, 8]}, "full_feature_names": false}
{"feature_service": "fraud_v1", "entities": {"user_id": [7]}, "lean": true, "known_through": true}
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from gnomon.contracts.registry import Snapshot
from gnomon.core.requests import from_text
from gnomon.definitions.catalog import Catalog
from gnomon.errors import RequestError, nearest_hint
from gnomon.flows.read import EntityRows
from gnomon.server.problems import HttpError
from gnomon.server.spelt import asked_types, given_types, read_columns
from gnomon.types import Bytes

__all__ = ["Question", "fitted", "from_json", "from_msgpack", "from_url"]

NO_KEYS: list[dict[str, Any]] = [{}]
EXAMPLE = '{"features": ["view:feature"], "entities": {"user_id": [7]}}'


class Question(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a request asks; the first four as Feast has them.

    Args:
        entities: join key → its values, one for each entity.
        features: references such as `profile:age`.
        feature_service: the name of one, in place of features.
        full_feature_names: name the columns `view__feature`.
        include_feature_view_version_metadata: Feast's, and without effect: which version answers, a reference says.
        lean: leave out statuses and event timestamps.
        known_through: say of each entity what its answer knew.
    """

    entities: dict[str, list[Any]]
    features: list[str] = []
    feature_service: str | None = None
    full_feature_names: bool = False
    include_feature_view_version_metadata: bool = False
    lean: bool = False
    known_through: bool = False

    @property
    def asked(self) -> list[str] | str:
        """The features, or the service's name.

        Raises:
            HttpError: there is neither, or both.
        """
        service = self.feature_service
        if service is None or service == "":
            if self.features:
                return self.features
            raise HttpError(400, "the request asks for no features.", hint=f"send {EXAMPLE}, or a feature_service.")
        if self.features:
            raise HttpError(
                400, "the request has features and a feature_service.", hint="leave one of them out, or ask twice."
            )
        return service

    @property
    def rows(self) -> EntityRows:
        """The entities, as a store is asked for them; of none, the one row of views that have no entities."""
        return self.entities or NO_KEYS

    @property
    def count(self) -> int:
        """How many entities it is about."""
        entities = self.entities
        if len(entities) == 1:
            (only,) = entities.values()
            return len(only)
        return max(map(len, entities.values()), default=1)


class Addressed(Question, gc=False):
    """A question that stood in an address, where every value is a text."""


_json = msgspec.json.Decoder(Question)
_msgpack = msgspec.msgpack.Decoder(Question)


def from_json(body: bytes) -> Question:
    """The question of a JSON document; of two keys that are the same the last one counts.

    Raises:
        HttpError: 422, it is none.
    """
    return _decoded(_json, body, "JSON")


def from_msgpack(body: bytes) -> Question:
    """The question of a MessagePack document.

    Raises:
        HttpError: 422, it is none.
    """
    return _decoded(_msgpack, body, "MessagePack")


def from_url(path: bytes, query: bytes) -> Question:
    """The question of a URL about one entity: its keys in the path, everything else in the query.

    Args:
        path: such as `user_id=7/airport=JFK`, as it was sent.
        query: such as `features=profile:age,profile:city`; `features` may stand several times.

    Raises:
        HttpError: 400, it cannot be read.

    >>> from_url(b"user_id=a%2Fb", b"feature_service=fraud").entities
    {'user_id': ['a/b']}
    """
    try:
        pairs = [_pair(part) for part in path.decode().split("/") if part]
        told = parse_qsl(query.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise HttpError(
            400, "the address is not UTF-8.", hint="write other characters as %.., of their UTF-8."
        ) from None
    given: dict[str, Any] = {"entities": _once(pairs, "join key"), "features": []}
    for name, value in told:
        if name == "features":
            given[name] += [one for one in value.split(",") if one]
    given |= _once([pair for pair in told if pair[0] != "features"], "parameter")
    try:
        return msgspec.convert(given, Addressed, strict=False)
    except msgspec.ValidationError as wrong:
        raise HttpError(
            400, f"the address asks what cannot be read: {_without_place(wrong)}.", hint=_known(wrong)
        ) from None


def fitted(question: Question, wrong: RequestError, snapshot: Snapshot) -> bool:
    """Make a question fit where Feast would take it as it is: whether it was changed.

    Feast lets requests have keys of other views, too, and takes an entity's name for its join key. What JSON has no
    word for is read from its text here, once it has been refused: questions that have none of it are not kept waiting.
    """
    facts, catalog, entities = wrong.facts, snapshot.catalog, question.entities
    if ("value" in facts or "row" in facts) and _read(question, catalog):
        return True
    if "join_key" in facts and "value" not in facts:
        key = str(facts["join_key"])
        for entity in catalog.entities.values():
            if [*entity.join_keys] == [key] and entity.name in entities and key not in entities:
                entities[key] = entities.pop(entity.name)
                return True
    surplus = facts.get("name")
    if surplus in entities and any(surplus in one.join_keys for one in catalog.entities.values()):
        del entities[str(surplus)]
        return True
    return False


def _read(question: Question, catalog: Catalog) -> bool:
    """Read texts by their types: whether one was read."""
    entities, before = question.entities, repr(question.entities)
    types = asked_types(catalog, question.asked)
    if isinstance(question, Addressed):
        for name, dtype in given_types(catalog, question.asked).items():
            if dtype != Bytes and name in entities:
                entities[name] = [from_text(one, dtype) if isinstance(one, str) else one for one in entities[name]]
    entities.update(read_columns(entities, types))
    return repr(entities) != before


def _once(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    """Pairs by name; of two that have one name either may be meant."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise HttpError(400, f"the address has the {what} {name!r:.80} twice.", hint="name each of them once.")
        found[name] = value
    return found


def _pair(part: str) -> tuple[str, list[Any]]:
    name, equals, value = part.partition("=")
    if not equals:
        raise HttpError(
            400,
            f"the address has {part!r} where a join key should be.",
            hint="write /features/online/user_id=7?features=view:feature.",
        )
    return unquote(name, errors="strict"), [unquote(value, errors="strict")]


def _decoded(decoder: Any, body: bytes, form: str) -> Question:
    try:
        found: Question = decoder.decode(body)
    except msgspec.ValidationError as wrong:
        raise HttpError(
            422, f"the request is not as it should be: {_without_place(wrong)}.", hint=_known(wrong)
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as wrong:
        raise HttpError(422, f"the body is no {form}: {wrong}.", hint=f"send {EXAMPLE}.") from None
    return found


def _without_place(wrong: Exception) -> str:
    """What the decoder says, which ends in no full stop."""
    return str(wrong).rstrip(".")


def _known(wrong: Exception | None = None) -> str:
    names = Question.__struct_fields__
    said = str(wrong).partition("unknown field `")[2].partition("`")[0]
    otherwise = f"it may have {', '.join(names)}."
    return nearest_hint(said, names, otherwise=otherwise) if said else otherwise
