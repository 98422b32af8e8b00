import pytest

from gnomon import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, on_demand_feature_view
from gnomon.definitions.catalog import Catalog
from gnomon.errors import NotRegistered, RequestError, UnknownFeature
from gnomon.plan.references import reference_of, resolve
from gnomon.types import Bool, Float64, Int64, String

USER, AIRPORT = Entity(name="user", value_type=Int64), Entity(name="faa", value_type=String)
SOURCE = FileSource(path="x.parquet")


def view(name, *features, entity=USER, version=1):
    schema = [Field(feature, Int64) for feature in features]
    return FeatureView(name=name, entities=[entity], source=SOURCE, schema=schema, version=version)


PROFILE, PROFILE_2 = view("profile", "age", "score"), view("profile", "age", "city", version=2)
SPEND, AIRPORTS = view("spend", "total", "score"), view("airport", "altitude", "tz", entity=AIRPORT)
TRIP = FeatureService(
    name="trip",
    features=[
        AIRPORTS.with_name("from").with_join_key_map({"faa": "origin"}),
        AIRPORTS[["tz"]].with_name("to").with_join_key_map({"faa": "dest"}),
        SPEND,
    ],
)
MODEL = FeatureService(name="model", features=[SPEND[["total"]], PROFILE_2[["city"]]])
CATALOG = Catalog.of([PROFILE, PROFILE_2, SPEND, AIRPORTS, TRIP, MODEL])


def asked(features, **kwargs):
    meant = resolve(CATALOG, features, **kwargs)
    questions, order = meant.views, meant.order
    return [(one.view.id, one.columns, one.features) for one in questions], order


def test_references_of_one_view_are_one_part_and_keep_their_order():
    parts, order = asked(["spend:total", "profile@1:age", "spend:score"])
    assert parts == [
        ("spend@1", ("user",), (("total", "total"), ("score", "score"))),
        ("profile@1", ("user",), (("age", "age"),)),
    ]
    assert order == ("total", "age", "score")


def test_without_a_version_the_highest_counts():
    parts, _ = asked(("profile:city", "profile@1:age"))
    assert [part[0] for part in parts] == ["profile@2", "profile@1"]


def test_a_service_is_its_projections():
    parts, order = asked(TRIP, full_feature_names=True)
    assert parts == [
        ("airport@1", ("origin",), (("altitude", "from__altitude"), ("tz", "from__tz"))),
        ("airport@1", ("dest",), (("tz", "to__tz"),)),
        ("spend@1", ("user",), (("total", "spend__total"), ("score", "spend__score"))),
    ]
    assert order == ("from__altitude", "from__tz", "to__tz", "spend__total", "spend__score")


def test_of_a_service_the_registered_form_counts():
    changed = FeatureService(name="model", features=[PROFILE])
    assert asked(changed) == asked("model") == asked(MODEL)
    assert asked(MODEL)[1] == ("total", "city")


def test_two_features_of_one_name_need_full_names():
    with pytest.raises(RequestError, match="'spend:score', 'profile:score'") as caught:
        resolve(CATALOG, ["spend:score", "profile@1:score"])
    assert "full_feature_names=True" in caught.value.hint
    assert asked(["spend:score", "profile@1:score"], full_feature_names=True)[1] == ("spend__score", "profile__score")
    with pytest.raises(RequestError, match="'tz'") as caught:
        resolve(CATALOG, TRIP)
    assert "'from:tz', 'to:tz'" in str(caught.value)


@pytest.mark.parametrize("full", [False, True])
def test_a_feature_named_twice_is_an_error(full):
    with pytest.raises(RequestError, match="'spend:total' is asked for twice"):
        resolve(CATALOG, ["spend:total", "profile:age", "spend:total"], full)
    with pytest.raises(RequestError, match="'profile:age' is asked for twice"):
        resolve(CATALOG, ["profile:age", "profile@2:age"], full)


def test_full_names_do_not_tell_versions_apart():
    with pytest.raises(RequestError, match="'profile__age'") as caught:
        resolve(CATALOG, ["profile@1:age", "profile@2:age"], True)
    assert "one version at a time" in caught.value.hint


def test_what_is_not_there_is_named_with_what_is_near():
    with pytest.raises(NotRegistered, match="did you mean 'profile'"):
        resolve(CATALOG, ["profil:age"])
    with pytest.raises(NotRegistered, match="profile@3"):
        resolve(CATALOG, ["profile@3:age"])
    with pytest.raises(UnknownFeature, match="did you mean 'total'"):
        resolve(CATALOG, ["spend:totl"])
    with pytest.raises(NotRegistered, match="did you mean 'model'"):
        resolve(CATALOG, "modl")
    with pytest.raises(NotRegistered, match="feature service"):
        resolve(CATALOG, FeatureService(name="other", features=[SPEND]))


@pytest.mark.parametrize(
    "features", [[], ["age"], [":age"], ["profile:"], [7], [None], [SPEND], 7, None, {"profile:age": 1}, "profile:age"]
)
def test_what_cannot_be_read_is_an_error(features):
    with pytest.raises(RequestError):
        resolve(CATALOG, features)


def test_a_feature_the_service_picked_and_the_view_lost_is_unknown():
    lost = Catalog({**CATALOG.definitions, ("FeatureView", "spend@1"): view("spend", "score")})
    service = FeatureService(name="model", features=[FeatureView(name="spend", source=SOURCE)[["total"]]])
    broken = Catalog({**lost.definitions, ("FeatureService", "model"): service})
    with pytest.raises(UnknownFeature, match="total"):
        resolve(broken, "model")


def test_one_feature_may_be_written_in_three_ways() -> None:
    source = FileSource(path="users.parquet", timestamp_field="at")
    views = [
        FeatureView(name=name, source=source, schema=[Field(feature, Int64)])
        for name, feature in (("a__b", "c"), ("a", "b__c"), ("x__y", "z"))
    ]
    catalog = Catalog.of(views)
    for given, meant in {
        "a:b": "a:b",
        "x__y@1:z": "x__y@1:z",
        "x__y__z": "x__y:z",
        "x__y@1__z": "x__y@1:z",
        "no__way": "no:way",
    }.items():
        assert reference_of(catalog, given) == meant
    with pytest.raises(RequestError, match="may be read as 'a:b__c', 'a__b:c'"):
        reference_of(catalog, "a__b__c")
    for wrong in ("plain", "__", "", 7, ["a:b"]):
        with pytest.raises(RequestError, match="names no feature"):
            reference_of(catalog, wrong)


def ratio(paid, total):
    return paid / total


def judged(ratio, score, paid):
    return ratio > score


PAYMENT = RequestSource(name="payment", schema=[Field("paid", Float64), Field("shop", String)])
RATIO = on_demand_feature_view(sources=[SPEND, PAYMENT], schema=[Field("ratio", Float64)])(ratio)
JUDGED = on_demand_feature_view(sources=[RATIO, SPEND, PAYMENT], schema=[Field("odd", Bool), Field("other", Bool)])(
    judged
)
COMPUTED = Catalog.of([PROFILE, JUDGED])


def test_what_is_fetched_is_told_from_what_is_computed_and_what_is_given():
    meant = resolve(COMPUTED, ["judged:odd", "profile:age"])
    assert [(one.view.id, one.features) for one in meant.views] == [
        ("profile@1", (("age", "age"),)),
        ("spend@1", (("total", "__0"), ("score", "__2"))),
    ]
    assert [(one.view.id, [column for _, column, _ in one.inputs], one.features) for one in meant.computed] == [
        ("ratio@1", ["paid", "__0"], (("ratio", "__1"),)),
        ("judged@1", ["__1", "__2", "paid"], (("odd", "odd"),)),
    ]
    assert [(one.name, one.dtype, one.view) for one in meant.given] == [("paid", Float64, "ratio")]
    assert (meant.order, meant.unused) == (("odd", "age"), ("shop",))


def test_what_is_asked_for_is_not_fetched_or_computed_twice():
    meant = resolve(COMPUTED, ["judged:odd", "spend:total", "ratio:ratio"], full_feature_names=True)
    assert [one.features for one in meant.views] == [(("total", "spend__total"), ("score", "__0"))]
    assert [one.features for one in meant.computed] == [(("ratio", "ratio__ratio"),), (("odd", "judged__odd"),)]


def test_inputs_are_of_the_entity_that_their_source_says():
    sent = SPEND.with_name("sent").with_join_key_map({"user": "sender"})
    got = SPEND.with_name("got").with_join_key_map({"user": "receiver"})

    def compared(sent__total, got__total):
        return sent__total - got__total

    made = on_demand_feature_view(sources=[sent, got], schema=[Field("more", Float64)])(compared)
    meant = resolve(Catalog.of([made]), ["compared:more"])
    assert [(one.columns, one.features) for one in meant.views] == [
        (("sender",), (("total", "__0"),)),
        (("receiver",), (("total", "__1"),)),
    ]


def test_a_value_of_the_request_has_one_type():
    other = RequestSource(name="other", schema=[Field("paid", String)])

    def told(paid):
        return paid

    made = on_demand_feature_view(sources=[other], schema=[Field("words", String)])(told)
    with pytest.raises(RequestError) as wrong:
        resolve(Catalog.of([JUDGED, made]), ["ratio:ratio", "told:words"])
    assert "'paid' is Float64 for on-demand view 'ratio', and String for 'told'" in str(wrong.value)
    assert reference_of(COMPUTED, "judged__odd") == "judged:odd"
