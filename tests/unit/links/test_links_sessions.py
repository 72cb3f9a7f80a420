"""Whose turn it is among the sessions of a link."""

from __future__ import annotations

from links_kit import CountingSession

from smsproxy.links.sessions import Sessions


def some_sessions(*sessions: CountingSession) -> Sessions:
    found = Sessions()
    for session in sessions:
        found.add(session)
    return found


def test_sessions_take_turns() -> None:
    a, b, c = (CountingSession() for _ in range(3))
    sessions = some_sessions(a, b, c)
    for _ in range(9):
        session = sessions.next_free()
        assert session is not None
        sessions.reserve(session)
    assert [a.held, b.held, c.held] == [3, 3, 3]


def test_looking_does_not_cost_a_turn() -> None:
    a, b = CountingSession(), CountingSession()
    sessions = some_sessions(a, b)
    for _ in range(5):
        assert sessions.have_room
        assert sessions.next_free() is a


def test_full_closed_and_receiver_sessions_are_passed_over() -> None:
    full, closed, receiver = CountingSession(0), CountingSession(), CountingSession(submits=False)
    closed.state = "closed"
    sessions = some_sessions(full, closed, receiver)
    assert sessions.next_free() is None
    assert not sessions.have_room
    assert sessions.can_submit
    sessions.remove(full)
    assert not sessions.can_submit
    assert list(sessions) == [closed, receiver]


def test_a_session_is_removed_once() -> None:
    session = CountingSession()
    sessions = some_sessions(session)
    sessions.remove(session)
    sessions.remove(session)
    assert len(sessions) == 0
    assert sessions.next_free() is None
    assert sessions.in_flight == 0
