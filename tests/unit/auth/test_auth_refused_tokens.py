"""The tokens that are refused, all with one text: nobody learns from a refusal what was wrong with it."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tokens_by_hand import NOW, OTHER, SECRET, part, signed, token

from smsproxy.auth.claims import Reason
from smsproxy.auth.jwt import MAX_HEADER_CHARS, MAX_TOKEN_CHARS, JwtAuthenticator
from smsproxy.domain.errors import UnauthenticatedError
from smsproxy.settings import AppSettings, Secret
from tests.unit.auth import bad_tokens as table
from tests.unit.auth.bad_tokens import bad_tokens, padded_to

RSA_KEY = generate_private_key(65_537, 2048).public_key()
RSA_PEM = RSA_KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
GOOD = token()
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")
CLAIMS = {"app_id": 1, "exp": NOW + 3600}
REFUSED = bad_tokens(NOW)


def bearer(secret: bytes = SECRET, **claims: object) -> str:
    return "Bearer " + token(secret=secret, **claims)


def refusal(authenticator: JwtAuthenticator, authorization: str | None, app_id: str | None = "1") -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        authenticator.authenticate(authorization, app_id, NOW)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return str(caught.value)


def test_the_token_that_the_refused_ones_are_made_from_is_good(apps: dict[int, AppSettings]) -> None:
    assert JwtAuthenticator(apps).authenticate(f"Bearer {GOOD}", "1", NOW).app_id == 1
    assert len(REFUSED) >= 60
    assert table.MAX_TOKEN_CHARS == MAX_TOKEN_CHARS


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_token_is_refused_with_the_one_text(name: str, apps: dict[int, AppSettings]) -> None:
    authenticator = JwtAuthenticator(apps)
    assert refusal(authenticator, REFUSED[name]) == "authentication failed"
    assert authenticator.refused.total() == 1


@pytest.mark.parametrize(
    "app_id",
    [None, "", "0", "2", "3", "-1", "+1", " 1", "1 ", "1.0", "0x1", "1_0", "١", "one", "9223372036854775808",
     "9" * 19, "1" * 5000],
)  # fmt: skip
def test_another_app_id_in_the_metadata_is_refused_with_the_same_text(
    app_id: str | None, apps: dict[int, AppSettings]
) -> None:
    assert refusal(JwtAuthenticator(apps), f"Bearer {GOOD}", app_id) == "authentication failed"


@pytest.mark.parametrize(
    ("authorization", "app_id", "reason"),
    [
        (None, "1", Reason.NO_BEARER),
        (f"Bearer {GOOD}", "x", Reason.APP_ID),
        (f"Bearer {GOOD}", "3", Reason.UNKNOWN_APP),
        ("Bearer x", "1", Reason.MALFORMED),
        (REFUSED["alg none"], "1", Reason.HEADER),
        (bearer(secret=OTHER), "1", Reason.SIGNATURE),
        (bearer(app_id=2), "1", Reason.CLAIMS),
        (bearer(exp=1), "1", Reason.EXPIRED),
        (bearer(nbf=NOW + 99), "1", Reason.NOT_YET_VALID),
    ],
)
def test_the_cause_is_counted_for_the_operator(
    authorization: str | None, app_id: str, reason: Reason, apps: dict[int, AppSettings]
) -> None:
    authenticator = JwtAuthenticator(apps)
    refusal(authenticator, authorization, app_id)
    assert dict(authenticator.refused) == {reason: 1}


def test_the_secret_of_a_public_key_app_is_not_its_public_key() -> None:
    app = AppSettings(public_key=Secret(RSA_PEM), algorithm="RS256")
    for text in (RSA_PEM, RSA_PEM.strip()):
        forged = signed({"alg": "HS256", "typ": "JWT"}, CLAIMS, text)
        assert refusal(JwtAuthenticator({1: app}), f"Bearer {forged}") == "authentication failed"
        forged = signed({"alg": "RS256", "typ": "JWT"}, CLAIMS, text)
        assert refusal(JwtAuthenticator({1: app}), f"Bearer {forged}") == "authentication failed"


def test_sizes_are_exact(apps: dict[int, AppSettings]) -> None:
    largest = padded_to(MAX_TOKEN_CHARS, NOW + 3600)
    assert len(largest) == MAX_TOKEN_CHARS
    assert JwtAuthenticator(apps).authenticate(f"Bearer {largest}", "1", NOW)
    fits = {"alg": "HS256", "x": "y" * (MAX_HEADER_CHARS * 3 // 4 - len('{"alg": "HS256", "x": ""}'))}
    assert len(part(fits)) == MAX_HEADER_CHARS
    assert JwtAuthenticator(apps).authenticate("Bearer " + signed(fits, CLAIMS), "1", NOW)
    too_long = fits | {"x": str(fits["x"]) + "y"}
    refusal(JwtAuthenticator(apps), "Bearer " + signed(too_long, CLAIMS))


_PARTS = st.one_of(
    st.sampled_from([HEADER, PAYLOAD, SIGNATURE, part(b"null"), part(b"{}"), part(b"[" * 500)]),
    st.text("AQ-_=. \n\0é", max_size=20),
    st.binary(max_size=40).map(part),
)
AUTHENTICATOR = JwtAuthenticator({1: AppSettings(secret=Secret(SECRET))})


@given(st.lists(_PARTS, max_size=5), st.text(max_size=3) | st.just("1"))
def test_any_text_is_a_caller_or_the_one_refusal(parts: list[str], app_id: str) -> None:
    authorization = "Bearer " + ".".join(parts)
    if (parts, app_id) != ([HEADER, PAYLOAD, SIGNATURE], "1"):
        refusal(AUTHENTICATOR, authorization, app_id)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
    st.sampled_from(["exp", "app_id", "nbf", "iat", "scope", "aud"]),
)
def test_any_claim_that_the_app_itself_signs_is_a_caller_or_the_one_refusal(value: object, name: str) -> None:
    try:
        caller = AUTHENTICATOR.authenticate(bearer(**{name: value}), "1", NOW)
    except UnauthenticatedError:
        return
    assert caller.app_id == 1
    assert caller.scopes <= {"send", "read"}
