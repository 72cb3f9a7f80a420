"""The tokens that are refused, by what is wrong with each: one table, for the checker and for the daemon.

`bad_tokens(now)` makes them around an instant, from a token of app 1 that is good at it. Every one that needs
a signature has a true one, so that what is wrong with it is all that is wrong with it.
"""

from __future__ import annotations

import base64
import json

from tests.unit.auth.tokens_by_hand import OTHER, SECRET, part, signed, token

HS256 = {"alg": "HS256", "typ": "JWT"}
JWK = json.dumps({"kty": "oct", "k": base64.b64encode(SECRET).decode()}).encode()
MAX_TOKEN_CHARS = 4096


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


def padded_to(size: int, exp: int) -> str:
    """A correctly signed token of exactly `size` characters."""
    for filler in range(size):
        made = token(exp=exp, x="y" * filler)
        if len(made) >= size:
            break
    return made


def bad_tokens(now: int, slack_s: int = 0) -> dict[str, str | None]:
    """What is wrong -> the value of the header authorization; None: no such header.

    All of them are bad from `now` until `slack_s` later.
    """
    claims = {"app_id": 1, "exp": now + 3600}

    def bearer(secret: bytes = SECRET, **more: object) -> str:
        return "Bearer " + token(secret=secret, **(claims | more))

    def with_header(**header: object) -> str:
        return "Bearer " + token(header=header, **claims)

    good = token(**claims)
    header, payload, signature = good.split(".")
    return {
        "none at all": None,
        "empty": "",
        "no Bearer": good,
        "Bearer alone": "Bearer ",
        "lower-case bearer": f"bearer {good}",
        "Basic": f"Basic {good}",
        "two spaces": f"Bearer  {good}",
        "two headers joined": f"Bearer {good}, Bearer {good}",
        "two parts": f"Bearer {header}.{payload}",
        "four parts": f"Bearer {good}.{signature}",
        "empty signature": f"Bearer {header}.{payload}.",
        "bad base64": f"Bearer {header}.{payload}.!!!!",
        "impossible base64 length": f"Bearer {header}.{payload}.{signature}AA",
        "standard base64": f"Bearer {header}.{payload}.{'+/' * 21}a",
        "padding": f"Bearer {good}=",
        "trailing newline": f"Bearer {good}\n",
        "leading newline": f"Bearer \n{good}",
        "not ASCII": f"Bearer {good}é",
        "lone surrogate": f"Bearer {good}\ud800",
        "spare bit": f"Bearer {header}.{payload}.{spare_bit_set(signature)}",
        "alg none": with_header(alg="none"),
        "alg None": with_header(alg="None"),
        "alg NONE": with_header(alg="NONE"),
        "alg none unsigned": f"Bearer {part({'alg': 'none'})}.{payload}.",
        "alg missing": "Bearer " + signed({"typ": "JWT"}, claims),
        "alg doubled": "Bearer " + signed(b'{"alg":"none","alg":"HS256"}', claims),
        "alg a list": with_header(alg=["HS256"]),
        "alg RS256 with the secret": with_header(alg="RS256"),
        "alg HS384": "Bearer " + signed({"alg": "HS384", "typ": "JWT"}, claims, digest="sha384"),
        "header not an object": "Bearer " + signed(["HS256"], claims),
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
        "exp past": bearer(exp=now - 3600),
        "exp 31 s past": bearer(exp=now - 31),
        # With a leeway of 30 s a token ends 30 s after its exp: that instant is "now" to it.
        "exp now": bearer(exp=now - 30),
        "exp a float": bearer(exp=now + 3600.0),
        "exp negative": bearer(exp=-1),
        "exp a string": bearer(exp=str(now + 3600)),
        "exp true": bearer(exp=True),
        "exp 10^400": raw_claims(f'{{"app_id":1,"exp":1{"0" * 400}}}'),
        "exp 10^2900": raw_claims(f'{{"app_id":1,"exp":1{"0" * 2900}}}'),
        "exp 2^63": bearer(exp=2**63),
        "exp NaN": raw_claims('{"app_id":1,"exp":NaN}'),
        "exp Infinity": raw_claims('{"app_id":1,"exp":Infinity}'),
        "exp 1e999": raw_claims('{"app_id":1,"exp":1e999}'),
        "nbf future": bearer(nbf=now + 31 + slack_s),
        "nbf a string": bearer(nbf=str(now)),
        "nbf infinite": raw_claims(f'{{"app_id":1,"exp":{now + 9},"nbf":1e999}}'),
        "iat future": bearer(iat=now + 31 + slack_s),
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
        "payload an array": "Bearer " + signed(HS256, [claims]),
        "payload a string": "Bearer " + signed(HS256, "claims"),
        "payload a number": "Bearer " + signed(HS256, 1),
        "payload not JSON": raw_claims("{app_id: 1}"),
        "payload of 100,000 brackets": raw_claims("[" * 100_000),
        "payload of 2,900 brackets": raw_claims('{"a":' + "[" * 2900),
        "header of 700 brackets": "Bearer " + signed(b"[" * 700, claims),
        "payload invalid UTF-8": "Bearer " + signed(HS256, b'{"app_id":1,"x":"\xff"}'),
        "payload UTF-16": "Bearer " + signed(HS256, json.dumps(claims).encode("utf-16")),
        "payload keys doubled": raw_claims(f'{{"app_id":2,"app_id":1,"exp":{now + 9}}}'),
        "bit flipped in the header": f"Bearer {flipped(header)}.{payload}.{signature}",
        "bit flipped in the payload": f"Bearer {header}.{flipped(payload)}.{signature}",
        "bit flipped in the signature": f"Bearer {header}.{payload}.{flipped(signature)}",
        "token of another app": bearer(secret=OTHER, app_id=2),
        "signed by another app": bearer(secret=OTHER),
        "signed with a revoked secret": bearer(secret=b"the-secret-before-the-previous-one-01234"),
        "signed with the JWK text": bearer(secret=JWK),
        "signed with nothing": bearer(secret=b""),
        "4 KiB and one": "Bearer " + padded_to(MAX_TOKEN_CHARS + 1, now + 3600),
        "1 MB": f"Bearer {header}.{'A' * 1_000_000}.{signature}",
    }
