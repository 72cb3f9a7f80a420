"""The apps that the tests of authentication share."""

from __future__ import annotations

import pytest
from tokens_by_hand import OTHER, PREVIOUS, SECRET

from smsproxy.settings import AppSettings, Secret


@pytest.fixture
def apps() -> dict[int, AppSettings]:
    return {
        1: AppSettings(secret=Secret(SECRET), previous_secret=Secret(PREVIOUS)),
        2: AppSettings(secret=Secret(OTHER), esmes=(7, 8), senders=("BANK",), scopes=("send",)),
    }
