"""The tables of statuses: what each asks of a link."""

from __future__ import annotations

import pytest

from smsproxy.links.statuses import BIND_REFUSALS, bind_refusal
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
