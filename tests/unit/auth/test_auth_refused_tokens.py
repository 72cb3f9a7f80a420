"""The tokens that are refused, all with one text: nobody learns from a refusal what was wrong with it."""

from __future__ import annotations

import base64
import json

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

GOOD = token()
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")
HS256 = {"alg": "HS256", "typ": "JWT"}
CLAIMS = {"app_id": 1, "exp": NOW + 3600}
JWK = json.dumps({"kty": "oct", "k": base64.b64encode(SECRET).decode()}).encode()
RSA_KEY = generate_private_key(65_537, 2048).public_key()
RSA_PEM = RSA_KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def flipped(text: str) -> str:
    """One bit changed, still a base64url character."""
    middle = len(text) // 2
    return text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]


def spare_bit_set(text: str) -> str:
    """The last character spelt another way: 32 octets leave two spare bits (RFC 4648 §3.5)."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


def raw_claims(text: str) -> str:
    return "Bearer " + signed(HS256, text.encode())


def bearer(secret: bytes = SECRET, **claims: object) -> str:
    return "Bearer " + token(secret=secret, **claims)


def with_header(**header: object) -> str:
    return "Bearer " + token(header=header)


def padded_to(size: int) -> str:
    """A correctly signed token of exactly `size` characters."""
    for filler in range(size):
        made = token(x="y" * filler)
        if len(made) >= size:
            break
    return made


REFUSED: dict[str, str | None] = {
    "none at all": None,
    "empty": "",
    "no Bearer": GOOD,
    "Bearer alone": "Bearer ",
    "lower-case bearer": f"bearer {GOOD}",
    "Basic": f"Basic {GOOD}",
    "two spaces": f"Bearer  {GOOD}",
    "two headers joined": f"Bearer {GOOD}, Bearer {GOOD}",
    "two parts": f"Bearer {HEADER}.{PAYLOAD}",
    "four parts": f"Bearer {GOOD}.{SIGNATURE}",
    "empty signature": f"Bearer {HEADER}.{PAYLOAD}.",
    "bad base64": f"Bearer {HEADER}.{PAYLOAD}.!!!!",
    "impossible base64 length": f"Bearer {HEADER}.{PAYLOAD}.{SIGNATURE}AA",
    "standard base64": f"Bearer {HEADER}.{PAYLOAD}.{'+/' * 21}a",
    "padding": f"Bearer {GOOD}=",
    "trailing newline": f"Bearer {GOOD}\n",
    "leading newline": f"Bearer \n{GOOD}",
    "not ASCII": f"Bearer {GOOD}é",
    "lone surrogate": f"Bearer {GOOD}\ud800",
    "spare bit": f"Bearer {HEADER}.{PAYLOAD}.{spare_bit_set(SIGNATURE)}",
    "alg none": with_header(alg="none"),
    "alg None": with_header(alg="None"),
    "alg NONE": with_header(alg="NONE"),
    "alg none unsigned": f"Bearer {part({'alg': 'none'})}.{PAYLOAD}.",
    "alg missing": "Bearer " + signed({"typ": "JWT"}, CLAIMS),
    "alg doubled": "Bearer " + signed(b'{"alg":"none","alg":"HS256"}', CLAIMS),
    "alg a list": with_header(alg=["HS256"]),
    "alg RS256 with the secret": with_header(alg="RS256"),
    "alg HS384": "Bearer " + signed({"alg": "HS384", "typ": "JWT"}, CLAIMS, digest="sha384"),
    "header not an object": "Bearer " + signed(["HS256"], CLAIMS),
    "typ odd": with_header(typ="at+jwt"),
    "typ a number": with_header(typ=1),
    "kid a path": with_header(kid="../../../../dev/null"),
    "kid SQL": with_header(kid="x' UNION SELECT 'key"),
    "kid of 10 KB": with_header(kid="k" * 10_240),
    "kid of 700 octets": with_header(kid="k" * 700),
    "kid null": with_header(kid=None),
    "jku": with_header(jku="https://127.0.0.1/keys"),
    "x5u": with_header(x5u="https://127.0.0.1/cert"),
    "jwk": with_header(jwk={"kty": "oct", "k": "c2VjcmV0"}),
    "crit": with_header(crit=["exp"]),
    "b64 false": with_header(b64=False),
    "b64 false in crit": with_header(b64=False, crit=["b64"]),
    "zip": with_header(zip="DEF"),
    "exp missing": bearer(exp=...),
    "exp null": bearer(exp=None),
    "exp past": bearer(exp=NOW - 3600),
    "exp 31 s past": bearer(exp=NOW - 31),
    # With a leeway of 30 s a token ends 30 s after its exp: that instant is "now" to it.
    "exp now": bearer(exp=NOW - 30),
    "exp a float": bearer(exp=NOW + 3600.0),
    "exp negative": bearer(exp=-1),
    "exp a string": bearer(exp=str(NOW + 3600)),
    "exp true": bearer(exp=True),
    "exp 10^400": raw_claims(f'{{"app_id":1,"exp":1{"0" * 400}}}'),
    "exp 10^2900": raw_claims(f'{{"app_id":1,"exp":1{"0" * 2900}}}'),
    "exp 2^63": bearer(exp=2**63),
    "exp NaN": raw_claims('{"app_id":1,"exp":NaN}'),
    "exp Infinity": raw_claims('{"app_id":1,"exp":Infinity}'),
    "exp 1e999": raw_claims('{"app_id":1,"exp":1e999}'),
    "nbf future": bearer(nbf=NOW + 31),
    "nbf a string": bearer(nbf=str(NOW)),
    "nbf infinite": raw_claims(f'{{"app_id":1,"exp":{NOW + 9},"nbf":1e999}}'),
    "iat future": bearer(iat=NOW + 31),
    "iat true": bearer(iat=True),
    "app_id missing": bearer(app_id=...),
    "app_id other": bearer(app_id=2),
    "app_id a string": bearer(app_id="1"),
    "app_id true": bearer(app_id=True),
    "app_id a float": bearer(app_id=1.0),
    "app_id a list": bearer(app_id=[1]),
    "app_id 2^63": bearer(app_id=2**63),
    "an audience that is not us": bearer(aud="billing"),
    "scope a list": bearer(scope=["send"]),
    "payload an array": "Bearer " + signed(HS256, [CLAIMS]),
    "payload a string": "Bearer " + signed(HS256, "claims"),
    "payload a number": "Bearer " + signed(HS256, 1),
    "payload not JSON": raw_claims("{app_id: 1}"),
    "payload of 100,000 brackets": raw_claims("[" * 100_000),
    "payload of 2,900 brackets": raw_claims('{"a":' + "[" * 2900),
    "header of 700 brackets": "Bearer " + signed(b"[" * 700, CLAIMS),
    "payload invalid UTF-8": "Bearer " + signed(HS256, b'{"app_id":1,"x":"\xff"}'),
    "payload UTF-16": "Bearer " + signed(HS256, json.dumps(CLAIMS).encode("utf-16")),
    "payload keys doubled": raw_claims(f'{{"app_id":2,"app_id":1,"exp":{NOW + 9}}}'),
    "bit flipped in the header": f"Bearer {flipped(HEADER)}.{PAYLOAD}.{SIGNATURE}",
    "bit flipped in the payload": f"Bearer {HEADER}.{flipped(PAYLOAD)}.{SIGNATURE}",
    "bit flipped in the signature": f"Bearer {HEADER}.{PAYLOAD}.{flipped(SIGNATURE)}",
    "token of another app": bearer(secret=OTHER, app_id=2),
    "signed by another app": bearer(secret=OTHER),
    "signed with a revoked secret": bearer(secret=b"the-secret-before-the-previous-one-01234"),
    "signed with the JWK text": bearer(secret=JWK),
    "signed with nothing": bearer(secret=b""),
    "4 KiB and one": "Bearer " + padded_to(MAX_TOKEN_CHARS + 1),
    "1 MB": f"Bearer {HEADER}.{'A' * 1_000_000}.{SIGNATURE}",
}


def refusal(authenticator: JwtAuthenticator, authorization: str | None, app_id: str | None = "1") -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        authenticator.authenticate(authorization, app_id, NOW)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return str(caught.value)


def test_the_token_that_the_refused_ones_are_made_from_is_good(apps: dict[int, AppSettings]) -> None:
    assert JwtAuthenticator(apps).authenticate(f"Bearer {GOOD}", "1", NOW).app_id == 1
    assert len(REFUSED) >= 60


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
        (with_header(alg="none"), "1", Reason.HEADER),
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
    largest = padded_to(MAX_TOKEN_CHARS)
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
