"""The tables of statuses: what each asks of a link."""

from __future__ import annotations

import pytest
from links_kit import Bench
from smpplib import consts

from smsproxy.domain.outcome import Refused
from smsproxy.links.statuses import BIND_REFUSALS, SUBMIT_MEANINGS, Meaning, bind_refusal, submit_meaning
from smsproxy.smpp import constants as c


@pytest.mark.parametrize("status", [c.ESME_RINVPASWD, c.ESME_RINVSYSID, c.ESME_RBINDFAIL])
def test_wrong_credentials_wait_longest_because_they_will_not_mend_by_themselves(status: int) -> None:
    assert bind_refusal(status).name == "credentials"
    assert bind_refusal(status).at_least_s == max(one.at_least_s for one in BIND_REFUSALS.values())


def test_an_account_that_is_still_bound_waits_longer_than_an_unknown_refusal() -> None:
    assert bind_refusal(c.ESME_RALYBND).at_least_s > bind_refusal(0x0400).at_least_s


@pytest.mark.parametrize("status", [c.ESME_RSYSERR, c.ESME_RMSGQFUL, c.ESME_RTHROTTLED, c.ESME_RX_T_APPN])
def test_a_trouble_of_the_smscs_own_waits_no_longer_than_a_lost_connection(status: int) -> None:
    assert bind_refusal(status).at_least_s == 0


ALL_STATUSES = sorted({code for name, code in vars(consts).items() if name.startswith("SMPP_ESME_R")} - {0})
PERMANENT = [status for status in [*ALL_STATUSES, 0x0400, 0xFFFFFFFF] if status not in SUBMIT_MEANINGS]


@pytest.mark.parametrize("status", [c.ESME_RTHROTTLED, c.ESME_RMSGQFUL])
def test_what_the_smsc_says_it_did_not_take_for_now_goes_again(status: int) -> None:
    bench = Bench()
    message = bench.offer()
    bench.answer(message, status=status)
    assert not message.ended
    bench.loop.advance(1.001)
    bench.answer(message)
    assert message.ends == ["Accepted"]
    assert bench.session.written == [(message.name, 1)] * 2


@pytest.mark.parametrize("status", [c.ESME_RSYSERR, c.ESME_RX_T_APPN])
def test_a_temporary_trouble_is_refused_and_counted_but_never_sent_again(status: int) -> None:
    bench = Bench()
    message = bench.offer()
    bench.answer(message, status=status)
    assert message.outcomes == {1: Refused(status, c.status_text(status))}
    assert (bench.link.counters.refused, bench.link.counters.refused_temporary) == (1, 1)
    assert bench.session.written == [(message.name, 1)]
    assert bench.link.bound
    bench.assert_at_rest()


@pytest.mark.parametrize("status", PERMANENT)
def test_any_other_status_is_refused_at_once(status: int) -> None:
    assert submit_meaning(status) is Meaning.PERMANENT
    bench = Bench()
    message = bench.offer()
    bench.answer(message, status=status)
    assert message.outcomes == {1: Refused(status, c.status_text(status))}
    assert (bench.link.counters.refused, bench.link.counters.refused_temporary) == (1, 0)
    assert bench.link.bound
    bench.assert_at_rest()


def test_a_session_that_the_smsc_does_not_take_for_bound_is_bound_anew() -> None:
    bench = Bench(sessions=2)
    first, second = bench.offer(), bench.offer()
    bench.answer(first, status=c.ESME_RINVBNDSTS)
    assert first.outcomes == {1: Refused(c.ESME_RINVBNDSTS, "ESME_RINVBNDSTS 0x00000004")}
    assert [session.state for session in bench.sessions] == ["unbinding", "bound"]
    assert bench.session.why == "ESME_RINVBNDSTS 0x00000004"
    assert bench.link.counters.link_faults == 1
    bench.answer(second, session=bench.sessions[1])
    assert second.ends == ["Accepted"]
