"""Lines for everybody, a bar for who watches a terminal, nothing where a program asked."""

from __future__ import annotations

import io
import sys

import pytest

from gnomon.examples.flights.telling import Teller


class Terminal(io.StringIO):
    """A text stream that people watch."""

    def isatty(self) -> bool:
        return True


def speak(teller: Teller) -> None:
    for name in ("first", "second"):
        with teller.step(name, total=2) as advance:
            advance()
        teller.say(f"{name} done")


def test_a_terminal_shows_a_bar_beside_the_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Terminal()
    monkeypatch.setattr(sys, "stderr", watched)
    speak(Teller())
    assert capsys.readouterr().out == "first done\nsecond done\n"
    assert "first" in watched.getvalue()
    assert "second" in watched.getvalue()


def test_a_pipe_gets_the_lines_alone(capsys: pytest.CaptureFixture[str]) -> None:
    teller = Teller()
    speak(teller)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("first done\nsecond done\n", "")
    assert list(teller.seconds) == ["first", "second"]
    assert all(0 <= seconds < 60 for seconds in teller.seconds.values())


def test_a_quiet_one_says_nothing_even_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Terminal()
    monkeypatch.setattr(sys, "stderr", watched)
    speak(Teller(quiet=True))
    assert (capsys.readouterr().out, watched.getvalue()) == ("", "")
