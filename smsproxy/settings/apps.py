"""[apps.N]: who may call, with which key, how fast, and what for (spec §2.6, §3).

Who reads it: auth (keys, scopes, esmes, senders), limits (rate), and the `token` command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from smsproxy.settings.faults import KeyPath, Report
from smsproxy.settings.fields import AsTuple, FileRef, Printable, SecretField, Section
from smsproxy.settings.keys import public_key_fault
from smsproxy.settings.secrets import Secret

HMAC_MIN_BYTES = 32  # RFC 7518 §3.2: an HS256 key is at least as long as the hash
_KEY_DOCUMENT = re.compile(rb"-----BEGIN |\Assh-|\Aecdsa-sha2-|\A\s*\{.*\"kty\"", re.DOTALL)

RouteId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Algorithm = Literal["HS256", "EdDSA", "RS256", "ES256"]
Scope = Literal["send", "read"]


def _sender(saddr: str) -> str:
    """As requests are compared: a number without its ``+`` (spec §2.5)."""
    return saddr[1:] if saddr[:1] == "+" and saddr[1:].isdecimal() else saddr


Sender = Annotated[Printable, AfterValidator(_sender)]


class AppSettings(Section):
    """One app. Build one directly with `secret=Secret("...")`; `load` also reads the files."""

    LOADED_FROM: ClassVar[Mapping[str, str]] = {
        "secret": "secret_file",
        "previous_secret": "previous_secret_file",
        "public_key": "public_key_file",
    }
    FILE_ONLY: ClassVar[frozenset[str]] = frozenset({"public_key"})

    name: Printable = Field("", max_length=64, description="Name for people, in logs and metrics.")
    secret_file: FileRef = Field("", description="File with the HS256 secret, at least 32 octets.")
    previous_secret_file: FileRef = Field(
        "", description="File with the secret before it, still valid: rotation without an outage."
    )
    secret: SecretField = Field(
        Secret(), description="The HS256 secret itself, for development; `load` fills it from secret_file."
    )
    previous_secret: SecretField = Field(
        Secret(), description="The previous secret itself; `load` fills it from previous_secret_file."
    )
    public_key_file: FileRef = Field(
        "", description="PEM file with the app's public key, in place of a secret."
    )
    public_key: SecretField = Field(
        Secret(), description="The PEM text; `load` fills it from public_key_file."
    )
    algorithm: Algorithm = Field(
        "HS256", description="The one algorithm of the app's tokens; never read from a token."
    )
    rate_per_s: int = Field(
        0, ge=0, le=10_000_000, description="Requests a second, 0 is unlimited; ten times what a host can do."
    )
    burst: int = Field(
        0,
        ge=0,
        le=10_000_000,
        description="Requests at once, 0 is max(1, rate_per_s); bounded like the rate.",
    )
    esmes: Annotated[tuple[RouteId, ...], AsTuple] = Field(
        (), max_length=10_000, description="Link and pool ids the app may use; empty is all."
    )
    senders: Annotated[tuple[Annotated[Sender, Field(min_length=1, max_length=21)], ...], AsTuple] = Field(
        (), max_length=10_000, description="Source addresses (saddr) the app may use; empty is all."
    )
    scopes: Annotated[tuple[Scope, ...], AsTuple] = Field(
        ("send", "read"), description="What the app may do; a token may ask for less."
    )
    client_cert_required: bool = Field(False, description="Calls of this app need a client certificate.")

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The valid HS256 secrets, current one first; empty for an app with a public key."""
        return tuple(secret for secret in (self.secret, self.previous_secret) if secret)


def check_app(app: AppSettings, at: KeyPath, report: Report) -> None:
    """The rules that need more than one key of the table."""
    if app.public_key_file or app.public_key:
        _check_public_key(app, at, report)
    else:
        _check_secrets(app, at, report)
    if not app.scopes and report.clean((*at, "scopes")):
        report.fault((*at, "scopes"), 'is empty: the app could do nothing; give "send", "read" or both')


def _check_public_key(app: AppSettings, at: KeyPath, report: Report) -> None:
    for key in ("secret", "secret_file", "previous_secret", "previous_secret_file"):
        if getattr(app, key):
            report.fault((*at, key), "an app has secrets or a public key, not both")
            return
    if app.algorithm == "HS256":
        if report.clean((*at, "algorithm")):
            report.fault((*at, "algorithm"), "name the public key's algorithm: EdDSA, RS256 or ES256")
    elif app.public_key:
        wrong = public_key_fault(app.public_key.octets(), app.algorithm)
        if wrong:
            report.fault((*at, "public_key_file"), wrong)


def _check_secrets(app: AppSettings, at: KeyPath, report: Report) -> None:
    told = all(report.clean((*at, key)) for key in ("secret", "secret_file", "public_key_file", "public_key"))
    if not app.secret and told:
        report.fault((*at, "secret_file"), "the app has no secret: give secret_file (or public_key_file)")
    if app.algorithm != "HS256" and report.clean((*at, "public_key_file")):
        report.fault((*at, "algorithm"), f"{app.algorithm} needs public_key_file; a secret is for HS256")
    _check_secret(app.secret, (*at, "secret_file" if app.secret_file else "secret"), report)
    previous = "previous_secret_file" if app.previous_secret_file else "previous_secret"
    _check_secret(app.previous_secret, (*at, previous), report)


def _check_secret(secret: Secret, at: KeyPath, report: Report) -> None:
    size = len(secret.octets())
    if secret and size < HMAC_MIN_BYTES:
        report.fault(at, f"an HS256 secret has at least {HMAC_MIN_BYTES} octets, this one has {size}")
    elif _KEY_DOCUMENT.search(secret.octets()):
        report.fault(
            at, "is a key document (PEM, SSH or JWK), not a secret: a public key goes in public_key_file"
        )
