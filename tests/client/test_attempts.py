"""When a question is asked again, and when not: against a server that misbehaves, with nobody waiting."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from misbehaving import HangUp, Misbehaving, Reply, Silence

from gnomon.client import AsyncClient, Client, Retries
from gnomon.client.attempts import Budget, tried
from gnomon.clock import ManualClock
from gnomon.errors import BackendError, ConflictError, GnomonError, RateLimited, RequestError, ServerAway

ANSWER = {
    "metadata": {"feature_names": ["user_id", "age"]},
    "results": [
        {"values": [7], "statuses": ["PRESENT"], "event_timestamps": ["1970-01-01T00:00:00Z"]},
        {"values": [41], "statuses": ["PRESENT"], "event_timestamps": ["2024-01-01T12:00:00Z"]},
    ],
}
PUSHED = {"source": "payments", "appended": 1, "rejected": 0, "duplicate": False}
OK, DONE = Reply(200, body=ANSWER), Reply(200, body=PUSHED)


class Asking:
    """A client of either kind, whose pauses are noted and not slept through."""

    def __init__(self, kind: str, url: str, **options: Any) -> None:
        self.pauses: list[float] = []
        self.clock = ManualClock(1_700_000_000_000_000)
        options = {"clock": self.clock, "chance": Random(7), **options}
        self._loop = asyncio.new_event_loop() if kind == "async" else None
        self._client: Any
        if self._loop is None:
            self._client = Client(url, sleep=self._pause, **options)
        else:
            self._client = AsyncClient(url, sleep=self._pause_later, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        if self._loop is None:
            return method  # type: ignore[no-any-return]
        return lambda *words, **more: self._loop.run_until_complete(method(*words, **more))  # type: ignore[union-attr]

    def read(self) -> Any:
        return self.get_online_features(["profile:age"], [{"user_id": 7}])

    def push(self, **more: Any) -> Any:
        return self.__getattr__("push")("payments", [{"user_id": 7}], **more)

    def end(self) -> None:
        self.close()
        if self._loop is not None:
            self._loop.close()

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.set(self.clock.now() + round(seconds * 1_000_000))

    async def _pause_later(self, seconds: float) -> None:
        self._pause(seconds)


Ask = Callable[..., Asking]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Any:
    made: list[Asking] = []

    def one(url: str, **options: Any) -> Asking:
        made.append(Asking(request.param, url, **options))
        return made[-1]

    yield one
    for each in made:
        each.end()


@pytest.mark.parametrize(
    "deed", [HangUp(), Reply(502), Reply(503), Reply(504), Reply(429), Reply(200, cut=1, body=ANSWER)]
)
def test_a_read_is_asked_again_under_the_same_id(ask: Ask, deed: Any) -> None:
    with Misbehaving(deed, deed, OK) as server:
        mine = ask(server.url)
        assert mine.read().to_dict() == {"user_id": [7], "age": [41]}
        assert len(server.requests) == 3
        assert len({one.headers["x-request-id"] for one in server.requests}) == 1
        first, second = mine.pauses
        assert 0 <= first <= 0.1
        assert 0 <= second <= 0.2


@pytest.mark.parametrize(
    ("deed", "error"), [(HangUp(), ServerAway), (Reply(503), BackendError), (Reply(429), RateLimited)]
)
def test_after_three_times_it_is_an_error(ask: Ask, deed: Any, error: type[GnomonError]) -> None:
    with Misbehaving(deed) as server:
        mine = ask(server.url)
        with pytest.raises(error) as caught:
            mine.read()
        assert len(server.requests) == 3
        assert type(caught.value) is error


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 501, 302])
def test_other_answers_are_final(ask: Ask, status: int) -> None:
    with Misbehaving(Reply(status, {"location": "http://127.0.0.1:9/"})) as server:
        mine = ask(server.url)
        with pytest.raises(GnomonError) as caught:
            mine.read()
        assert caught.value.facts["status"] == status
        assert len(server.requests) == 1


def test_the_server_may_say_when(ask: Ask) -> None:
    date = "Tue, 14 Nov 2023 22:13:24 GMT"  # three seconds after the first pause
    with Misbehaving(Reply(503, {"retry-after": "1"}), Reply(429, {"retry-after": date}), OK) as server:
        mine = ask(server.url)
        mine.read()
        first, second = mine.pauses
        assert 1 <= first <= 1.1
        assert 4 - first <= second <= 4 - first + 0.2


@pytest.mark.parametrize("said", ["6", "999999999999999999999", "Wed, 15 Nov 2023 22:13:23 GMT"])
def test_who_is_to_wait_too_long_does_not(ask: Ask, said: str) -> None:
    with Misbehaving(Reply(429, {"retry-after": said}), OK) as server:
        mine = ask(server.url)
        with pytest.raises(RateLimited) as caught:
            mine.read()
        assert mine.pauses == []
        assert caught.value.facts["retry_after"] >= 0


@pytest.mark.parametrize("said", ["soon", "-1", "1.5", "", "١", "Wed, 99 Nov 2023", "\x00"])
def test_what_cannot_be_read_is_nothing_said(ask: Ask, said: str) -> None:
    with Misbehaving(Reply(503, {"retry-after": said.encode().decode("latin-1")}), OK) as server:
        mine = ask(server.url)
        mine.read()
        assert max(mine.pauses) <= 0.1


def test_a_budget_bounds_what_is_asked_again(ask: Ask) -> None:
    """Of 200 questions to a server that is down, some 600 would be sent; so it is 200, a reserve, and a tenth."""
    with Misbehaving(Reply(503)) as server:
        mine = ask(server.url)
        for _ in range(200):
            with pytest.raises(BackendError):
                mine.read()
        assert 200 + 10 <= len(server.requests) <= 200 + 10 + 20


def test_nothing_is_asked_again_where_that_was_said(ask: Ask) -> None:
    with Misbehaving(Reply(503)) as server:
        with pytest.raises(BackendError):
            ask(server.url, retries=Retries(attempts=1)).read()
        assert len(server.requests) == 1
    for wrong in ({"attempts": 0}, {"base": -1.0}, {"budget": -0.1}):
        with pytest.raises(RequestError, match="cannot be followed"):
            Retries(**wrong)  # type: ignore[arg-type]


def test_a_server_that_is_not_there(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    mine = ask(url)
    for act in (mine.read, mine.push, lambda: mine.materialize(None, None), lambda: mine.register([{}])):
        mine.pauses.clear()
        with pytest.raises(ServerAway, match=f"the server at {url} does not answer") as caught:
            act()
        assert len(mine.pauses) == 2, "what never left may be sent again, whatever it is"
        assert isinstance(caught.value.__cause__, httpx.ConnectError)


def test_a_server_that_says_nothing(ask: Ask) -> None:
    with Misbehaving(Silence()) as server:
        mine = ask(server.url, timeout=0.05, retries=Retries(attempts=2))
        with pytest.raises(ServerAway, match="does not answer"):
            mine.read()
        assert len(mine.pauses) == 1


@pytest.mark.parametrize("deed", [HangUp(), Reply(503), Reply(200, cut=1, body=PUSHED)])
def test_a_push_is_sent_again_as_the_same(ask: Ask, deed: Any) -> None:
    again = Reply(200, body={**PUSHED, "appended": 0, "duplicate": True})
    with Misbehaving(deed, again, DONE) as server:
        mine = ask(server.url, producer="till")
        assert mine.push().duplicate
        first, second = (one.json["offsets"] for one in server.requests)
        assert first == second == {"till/1": 1_700_000_000_000_000}
        mine.push()
        assert server.requests[2].json["offsets"]["till/1"] > first["till/1"]


def test_a_push_that_stays_unclear_says_its_offsets_and_leaves_its_lane(ask: Ask) -> None:
    with Misbehaving(HangUp(), HangUp(), HangUp(), DONE) as server:
        mine = ask(server.url, producer="till")
        with pytest.raises(ServerAway) as caught:
            mine.push()
        offsets = caught.value.facts["offsets"]
        assert offsets == {"till/1": 1_700_000_000_000_000}
        mine.push()
        assert list(server.requests[3].json["offsets"]) == ["till/2"]
        mine.push(offsets=offsets)
        assert server.requests[4].json["offsets"] == offsets


def test_a_push_that_is_refused_keeps_its_lane(ask: Ask) -> None:
    with Misbehaving(Reply(400), DONE) as server:
        mine = ask(server.url, producer="till")
        with pytest.raises(RequestError):
            mine.push()
        mine.push()
        assert [list(one.json["offsets"]) for one in server.requests] == [["till/1"]] * 2


def test_offsets_that_are_there_before_they_were_sent(ask: Ask) -> None:
    """A clock was set back, or two clients have one name: what looks sent twice was never sent."""
    with Misbehaving(Reply(200, body={**PUSHED, "duplicate": True})) as server:
        mine = ask(server.url, producer="till")
        with pytest.raises(ConflictError, match="greater offsets of this producer"):
            mine.push()
        assert mine.push(offsets={"mine": 5}).duplicate


@pytest.mark.parametrize("deed", [HangUp(), Reply(503), Reply(502)])
def test_what_would_be_done_twice_is_not_sent_again(ask: Ask, deed: Any) -> None:
    acts: list[Callable[[Asking], Any]] = [
        lambda mine: mine.push(to="online"),
        lambda mine: mine.push(offsets={}),
        lambda mine: mine.write_to_online_store("profile", {"user_id": [7]}),
        lambda mine: mine.materialize(None, None),
        lambda mine: mine.materialize_incremental(),
        lambda mine: mine.register([{"kind": "Entity"}]),
    ]
    for act in acts:
        with Misbehaving(deed) as server:
            with pytest.raises(BackendError):
                act(ask(server.url))
            assert len(server.requests) == 1
        with Misbehaving(Reply(429), Reply(400)) as server:
            with pytest.raises(RequestError):
                act(ask(server.url))
            assert len(server.requests) == 2, "refused before anything was done"


@given(
    outcomes=st.lists(st.sampled_from([200, 400, 429, 500, 502, 503, 504, "hang", "connect"]), min_size=1, max_size=30),
    again=st.booleans(),
    attempts=st.integers(1, 5),
    reserve=st.integers(0, 3),
    part=st.floats(0, 1),
)
def test_the_rules(outcomes: list[Any], again: bool, attempts: int, reserve: int, part: float) -> None:
    """Whatever comes: never more tries than allowed, never beyond the budget, pauses within their bounds."""
    retries = Retries(attempts=attempts, reserve=reserve, budget=part)
    budget, clock, sent, asked = Budget(retries), ManualClock(), 0, 0
    waiting = iter(outcomes)
    while (first := next(waiting, None)) is not None:
        steps = tried(again=again, retries=retries, budget=budget, clock=clock, chance=Random(1))
        assert next(steps) is None
        asked, tries, outcome = asked + 1, 0, first
        try:
            while True:
                tries, sent = tries + 1, sent + 1
                pause = steps.send(made(outcome))
                assert pause is not None
                assert 0 <= pause <= min(5.0, 0.1 * 2 ** (tries - 1))
                assert outcome == 429 or outcome == "connect" or (again and outcome in (502, 503, 504, "hang"))
                assert next(steps) is None
                outcome = next(waiting, 200)
        except StopIteration:
            pass
        assert tries <= attempts
        assert sent - asked <= reserve + part * asked + 1e-6


def made(outcome: Any) -> httpx.Response | httpx.TransportError:
    if isinstance(outcome, int):
        return httpx.Response(outcome)
    return httpx.ConnectError("no") if outcome == "connect" else httpx.ReadError("no")
