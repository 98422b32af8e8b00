"""On-demand views and defaults as definitions: what they hold, and what is refused, with the way out."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timezone
from decimal import Decimal as PythonDecimal
from typing import Any

import pytest

from gnomon import Entity, FeatureService, FeatureView, Field, FileSource, OnDemandFeatureView, RequestSource, agg
from gnomon import on_demand_feature_view as on_demand
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.codec import encode, fingerprint, stored_fingerprint
from gnomon.errors import DefinitionError, UnknownFeature
from gnomon.types import Array, Bool, Bytes, Decimal, Float32, Float64, Int32, Int64, String, UnixTimestamp

user = Entity(name="user", value_type=Int64)
profile = FeatureView(
    name="profile",
    entities=[user],
    source=FileSource(path="profiles.parquet", timestamp_field="at"),
    schema=[Field("age", Int64), Field("city", String), Field("amount", Float64), Field("tags", Array(String))],
)
payment = RequestSource(name="payment", schema=[Field("amount", Float64), Field("shop", String)])
TWICE = [Field("twice", Float64)]


def twice(age):
    """Two times as much."""
    return age * 2


def test_a_decorated_function_is_a_view_of_its_name():
    made = on_demand(sources=[profile, payment], schema=TWICE, version=2, owner="risk", tags={"a": "b"})(twice)
    assert (made.name, made.id, made.mode, made.version) == ("twice", "twice@2", "python", 2)
    assert (made.description, made.owner, made.feature_names) == ("Two times as much.", "risk", ("twice",))
    assert [(one.name, one.feature, one.dtype) for one in made.wanted] == [("age", "age", Int64)]
    assert made.code.text == 'def twice(age):\n    """Two times as much."""\n    return age * 2\n'
    assert made.code.place.endswith("test_on_demand:twice")
    assert made.code.function is twice


def test_the_text_is_without_decorators_and_indents():
    @on_demand(sources=[payment], schema=TWICE, description="first")
    def half(amount):
        return amount / 2

    first = half

    @on_demand(sources=[payment], schema=TWICE, description="another", owner="somebody")
    def half(amount):
        return amount / 2

    assert half.code.hash == first.code.hash
    assert fingerprint(half) == fingerprint(first)
    assert half.code.text.startswith("def half(amount):\n    return")


def test_a_changed_function_is_a_change_of_values():
    @on_demand(sources=[payment], schema=TWICE)
    def half(amount):
        return amount / 2

    before = half

    @on_demand(sources=[payment], schema=TWICE)
    def half(amount):
        return amount / 3

    assert fingerprint(half) != fingerprint(before)


def test_a_change_of_an_input_is_one_of_what_is_computed_of_it():
    other = dataclasses.replace(profile, ttl="1d")
    made = [on_demand(sources=[one], schema=TWICE)(twice) for one in (profile, other)]
    assert fingerprint(made[0]) != fingerprint(made[1])


def test_names_that_two_sources_have_are_told_apart_by_the_source():
    def ratio(payment__amount, profile__amount, age):
        return payment__amount / profile__amount

    made = on_demand(sources=[profile, payment], schema=TWICE)(ratio)
    assert [(one.source.name, one.feature) for one in made.wanted] == [
        ("payment", "amount"),
        ("profile", "amount"),
        ("profile", "age"),
    ]

    def unclear(amount):
        return amount

    with pytest.raises(DefinitionError) as told:
        on_demand(sources=[profile, payment], schema=TWICE)(unclear)
    assert "takes 'amount', which profile, payment all have" in str(told.value)
    assert "write profile__amount" in str(told.value)
    picked = on_demand(sources=[profile[["age"]], payment], schema=TWICE)(unclear)
    assert picked.wanted[0].source.name == "payment"


def test_a_view_twice_under_other_names():
    sender = profile.with_name("sender").with_join_key_map({"user": "from"})
    receiver = profile.with_name("receiver").with_join_key_map({"user": "to"})

    def older(sender__age, receiver__age):
        return float(sender__age > receiver__age)

    made = on_demand(sources=[sender, receiver], schema=TWICE)(older)
    assert [one.source.columns for one in made.wanted] == [("from",), ("to",)]


def test_a_function_of_everything():
    def of_dict(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"twice": inputs["age"]}

    made = on_demand(sources=[profile, payment], schema=TWICE)(of_dict)
    assert made.code.parameters == ()
    assert [one.name for one in made.wanted] == ["age", "city", "profile__amount", "tags", "payment__amount", "shop"]

    def by_name(inputs):
        return inputs

    assert on_demand(sources=[profile], schema=TWICE)(by_name).code.parameters == ()
    given = RequestSource(name="r", schema=[Field("inputs", Float64)])
    assert on_demand(sources=[given], schema=TWICE)(by_name).code.parameters == ("inputs",)


def test_a_function_of_a_frame_is_pandas():
    def of_frame(df: pd.DataFrame) -> pd.DataFrame:  # noqa: F821 - never looked up
        return df

    of_frame.__annotations__ = {"df": "pd.DataFrame"}
    assert on_demand(sources=[profile], schema=TWICE)(of_frame).mode == "pandas"


def test_expressions():
    made = OnDemandFeatureView(
        name="ratios",
        sources=[profile, payment],
        schema=[Field("ratio", Float64), Field("whole", Int64)],
        mode="sql",
        expressions={"whole": "AGE+1", "ratio": "payment__amount / NULLIF(profile__amount,0)"} | {"whole": "age+1"},
    )
    assert dict(made.expressions) == {"ratio": "payment__amount / nullif(profile__amount, 0)", "whole": "age + 1"}

    @on_demand(sources=[profile], schema=[Field("older", Bool)], mode="sql")
    def older():
        return "age > 40"

    assert (dict(older.expressions), older.code) == ({"older": "age > 40"}, None)


def test_views_of_views():
    first = on_demand(sources=[profile], schema=TWICE)(twice)

    def more(twice, amount):
        return twice + amount

    second = on_demand(sources=[first, profile[["amount"]]], schema=[Field("more", Float64)])(more)
    service = FeatureService(name="model", features=[profile, first[["twice"]], second])
    catalog = Catalog.of([service])
    assert sorted(catalog.on_demand_views) == ["more@1", "twice@1"]
    back = Catalog.from_documents(json.loads(json.dumps(list(reversed(catalog.documents())))))
    assert back == catalog
    assert back.on_demand_view("more").wanted[0].source.view.code.function is twice


def test_views_do_not_go_in_a_circle():
    first = on_demand(sources=[profile], schema=TWICE)(twice)

    def age(twice):
        return twice

    second = on_demand(sources=[first], schema=[Field("age", Float64)], name="second")(age)
    documents = [encode(one) for one in Catalog.of([second]).definitions.values()]
    for document in documents:
        if document["name"] == "twice":
            document["sources"] = [{"kind": "Projection", "view": {"ref": "OnDemandFeatureView", "name": "second@1"}}]
    with pytest.raises(DefinitionError, match="go in a circle"):
        Catalog.from_documents(documents)


def test_a_name_is_of_one_view():
    def of_age(age):
        return age

    made = on_demand(sources=[profile], schema=TWICE, name="profile")(of_age)
    with pytest.raises(DefinitionError, match="a feature view and an on-demand feature view are both called 'profile'"):
        Catalog.of([made])


def test_a_picked_feature_must_be_there():
    made = on_demand(sources=[profile], schema=TWICE)(twice)
    with pytest.raises(UnknownFeature, match="has no feature 'thrice'"):
        made[["thrice"]]


def no_parameters():
    return 1


def stars(*age):
    return 1


async def later(age):
    return age


def of_two(df, age):
    return df


def make_closure():
    factor = 3

    def scaled(age):
        return age * factor

    return scaled


def misspelt(agee):
    return agee


def of_city(city):
    return city


def of_inputs(age):
    return age


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        (no_parameters, {}, "takes no inputs"),
        (stars, {}, r"takes \*age"),
        (later, {}, "does not just return a value"),
        (lambda age: age, {"name": "x"}, "no function with a name"),
        (make_closure(), {}, "uses variables of the function around it: factor"),
        (of_two, {"mode": "pandas"}, "takes several parameters"),
        (
            misspelt,
            {},
            r"takes 'agee', which no source has.\nThey have: age, city, amount, tags.\nHint: did you mean 'age'",
        ),
        (twice, {"mode": "substrait"}, "mode is 'substrait'"),
        (twice, {"sources": []}, "has no sources"),
        (twice, {"sources": ["profile"]}, "'profile' is no source"),
        (twice, {"sources": [profile, profile[["age"]]]}, "two of its sources go by the name 'profile'"),
        (twice, {"schema": []}, "has no schema"),
        (twice, {"schema": ["x"]}, "'x' is no Field"),
        (twice, {"schema": [Field("a", Int64), Field("a", Int64)]}, "'a' stands twice"),
        (twice, {"schema": [Field("age", Int64)]}, "feature 'age' is called like one of its inputs"),
        (twice, {"schema": [Field("user", Int64)]}, "feature 'user' is called like a join key"),
        (twice, {"schema": [Field("__x", Int64)]}, "reserved"),
        (twice, {"version": 0}, "version is 0"),
        (twice, {"write_to_online_store": True}, "not written to the online store"),
        (twice, {"mode": "sql"}, "its function takes parameters"),
        (of_inputs, {"mode": "sql"}, "its function takes parameters"),
    ],
)
def test_what_cannot_be_a_view(function: Any, arguments: dict[str, Any], said: str):
    with pytest.raises(DefinitionError, match=said):
        on_demand(**{"sources": [profile], "schema": TWICE, **arguments})(function)


@pytest.mark.parametrize(
    ("expression", "dtype", "said"),
    [
        ("age +", Float64, "not one SQL expression"),
        ("agee * 2", Float64, "looks at 'agee', which no source has"),
        ("city", Float64, r"city \(String\) is declared as Float64"),
        ("amount", Int64, r"amount \(Float64\) is declared as Int64"),
        ("age * 1.5", Int64, "is declared as Int64"),
        ("city + 1", Float64, "is no number"),
        ("length(tags)", Int64, "is an Array"),
        ("now()", UnixTimestamp, "differs from call to call"),
        ("sum(age)", Int64, "aggregate"),
        ("1.5", Float64, "looks at none of its sources' values"),
    ],
)
def test_expressions_that_cannot_be(expression: str, dtype: Any, said: str):
    with pytest.raises(DefinitionError, match=said):
        OnDemandFeatureView(
            name="v", sources=[profile], schema=[Field("x", dtype)], mode="sql", expressions={"x": expression}
        )


def test_expressions_are_for_every_feature_and_no_other():
    shared: dict[str, Any] = {"name": "v", "sources": [profile], "schema": TWICE, "mode": "sql"}
    with pytest.raises(DefinitionError, match="no expression for 'twice'"):
        OnDemandFeatureView(**shared)
    with pytest.raises(DefinitionError, match="the schema has no feature 'thrice'"):
        OnDemandFeatureView(**shared, expressions={"thrice": "age * 3"})
    with pytest.raises(DefinitionError, match="takes no function"):
        OnDemandFeatureView(**shared, expressions={"twice": "age * 2"}, function=twice)
    with pytest.raises(DefinitionError, match="expressions are for mode='sql'"):
        OnDemandFeatureView(**{**shared, "mode": "python"}, function=twice, expressions={"twice": "age * 2"})


def test_a_request_source_has_values_without_defaults():
    with pytest.raises(DefinitionError, match="has no schema"):
        RequestSource(name="r", schema=[])
    with pytest.raises(DefinitionError, match="'x' has a default"):
        RequestSource(name="r", schema=[Field("x", Int64, default=0)])


def test_a_source_whose_features_are_not_known_yet_is_taken_at_its_word():
    unread = FeatureView(name="unread", entities=[user], source=FileSource(path="a.parquet"))
    made = on_demand(sources=[unread], schema=TWICE)(twice)
    assert made.looked_at == ("age",)
    known = dataclasses.replace(unread, schema=[Field("city", String)])
    with pytest.raises(DefinitionError, match="takes 'age', which no source has"):
        dataclasses.replace(made, sources=[known])


@pytest.mark.parametrize(
    ("dtype", "default", "kept", "plain"),
    [
        (Int64, 0, 0, 0),
        (Int32, -(2**31), -(2**31), -(2**31)),
        (Float64, 1, 1, 1.0),
        (Float64, float("inf"), "inf", float("inf")),
        (Float32, 0.5, 0.5, 0.5),
        (Bool, False, False, False),
        (String, "none", "none", "none"),
        (Bytes, b"\x00\xff", "hex:00ff", b"\x00\xff"),
        (Decimal(5, 2), PythonDecimal("1.5"), "1.5", PythonDecimal("1.50")),
        (Decimal(5, 2), 3, 3, PythonDecimal("3.00")),
        (UnixTimestamp, datetime(1970, 1, 1, tzinfo=timezone.utc), "1970-01-01T00:00:00Z", 0),
        (Array(Int64), [1, None], (1, None), [1, None]),
        (Array(String), [], (), []),
    ],
    ids=str,
)
def test_defaults_are_kept_as_json_has_them(dtype: Any, default: Any, kept: Any, plain: Any):
    field = Field("x", dtype, default=default)
    assert (field.default, field.standing_in) == (kept, plain)
    assert type(field.standing_in) is type(plain)
    view = dataclasses.replace(profile, schema=[field])
    catalog = Catalog.of([view])
    assert Catalog.from_documents(json.loads(json.dumps(catalog.documents()))) == catalog


@pytest.mark.parametrize(
    ("dtype", "default"),
    [
        (Int64, "many"),
        (Int64, 1.5),
        (Int64, True),
        (Int32, 2**31),
        (Float64, "0.0"),
        (Bool, 0),
        (String, 0),
        (Bytes, "text"),
        (Decimal(5, 2), PythonDecimal("1.555")),
        (Decimal(2, 0), 100),
        (UnixTimestamp, 0),
        (UnixTimestamp, "soon"),
        (Array(Int64), 1),
        (Array(Int64), ["a"]),
        (Float32, 1e300),
    ],
    ids=str,
)
def test_a_default_is_a_value_of_the_type(dtype: Any, default: Any):
    with pytest.raises(DefinitionError, match="field 'x': the default"):
        Field("x", dtype, default=default)


def test_a_default_of_an_aggregation_is_that_of_its_features():
    source = FileSource(path="payments.parquet", timestamp_field="at")
    shared: dict[str, Any] = {
        "name": "spend",
        "entities": [user],
        "source": source,
        "inputs": [Field("amount", Float64)],
    }
    view = FeatureView(**shared, aggregations=[agg.mean("amount", over=["1h", "7d"], default=0.0)])
    assert [one.default for one in view.schema] == [0.0, 0.0]
    with pytest.raises(DefinitionError, match=r"aggregation mean\('amount'\): field 'amount_mean_7d': the default 'x'"):
        FeatureView(**shared, aggregations=[agg.mean("amount", over="7d", default="x")])


def test_a_default_changes_values_and_not_what_is_stored():
    plain, filled = profile, dataclasses.replace(profile, schema=[Field("age", Int64, default=0), *profile.schema[1:]])
    assert fingerprint(plain) != fingerprint(filled)
    assert stored_fingerprint(plain) == stored_fingerprint(filled) == fingerprint(plain)
    source = FileSource(path="payments.parquet", timestamp_field="at")
    spend = [
        FeatureView(name="spend", source=source, aggregations=[agg.count(over="7d", default=default)])
        for default in (None, 0)
    ]
    assert stored_fingerprint(spend[0]) == stored_fingerprint(spend[1])
    assert fingerprint(spend[0]) != fingerprint(spend[1])


def test_defaults_stand_on_features_only():
    with pytest.raises(DefinitionError, match="'user' is a join key, and has a default"):
        dataclasses.replace(profile, schema=[Field("user", Int64, default=0), Field("age", Int64)])
    source = FileSource(path="payments.parquet", timestamp_field="at")
    with pytest.raises(DefinitionError, match="give it to the aggregation"):
        FeatureView(
            name="spend",
            source=source,
            schema=[Field("amount", Float64, default=0)],
            aggregations=[agg.sum("amount", over="1h")],
        )


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("age = = 1", 'write one expression of the inputs, such as "amount / nullif'),
        ("select age", "write the expression alone"),
        ("drop table x", "write one expression of the inputs."),
        ("sum(age)", "let a feature view aggregate them."),
        ("row_number() over (order by age)", "an expression sees one row and its inputs."),
        ("age in (select 1)", "an expression sees one row; list the values"),
        ("age; age", "write one expression for each feature."),
        (" ", "write an expression of the inputs."),
        ("profile.age", "name the view's inputs only."),
        ("tags", "expressions take single values only."),
        ("tags[1]", "arrays cannot be used in an expression."),
        ("lenght(city)", "did you mean 'length'?"),
        ("(" * 90 + "not " * 90 + "true" + ")" * 90, "the expression nests more than"),
    ],
)
def test_what_is_wrong_with_an_expression_is_not_said_of_a_condition(expression: str, said: str) -> None:
    with pytest.raises(DefinitionError) as wrong:
        OnDemandFeatureView(
            name="v", sources=[profile], schema=[Field("x", Int64)], mode="sql", expressions={"x": expression}
        )
    assert said in str(wrong.value)
    for word in ("condition", "WHERE", "`where`", "event"):
        assert word not in str(wrong.value)
