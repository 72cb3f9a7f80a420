"""Values that are parsed: listeners, store URLs, TLVs, and the fields with rules of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from smsproxy.domain.endpoint import Endpoint
from smsproxy.settings import (
    HttpSettings,
    LinkSettings,
    Secret,
    ServerSettings,
    Settings,
    StoreSettings,
    StoreUrl,
    load,
    masked,
)
from smsproxy.settings.describe import MASK
from smsproxy.settings.faults import Origins, Report
from smsproxy.settings.keys import public_key_fault
from smsproxy.settings.limits import LimitsSettings
from smsproxy.settings.server import check_listeners
from smsproxy.settings.store import parse_store_url
from smsproxy.settings.tlvs import parse_tag, parse_value

HERE = Path("/srv/config")


def test_http_can_be_off() -> None:
    assert HttpSettings(listen="").address is None
    assert HttpSettings().address == Endpoint("127.0.0.1", 8088)


@pytest.mark.parametrize(
    ("listen", "clash"), [("127.0.0.1:0", False), ("127.0.0.1:1", True), ("unix:/x", True)]
)
def test_two_listeners_clash_unless_the_system_chooses_the_port(listen: str, clash: bool) -> None:
    report = Report(Origins(Path("a.toml")))
    check_listeners(ServerSettings(listen=listen), HttpSettings(listen=listen), report)
    assert bool(report.faults) is clash


def test_an_instance_has_a_name_of_its_own_or_its_address() -> None:
    assert ServerSettings(instance="a").instance_name("host") == "a"
    assert ServerSettings().instance_name("host") == "host+127.0.0.1:44044"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:///var/lib/x.db", "/var/lib/x.db"),
        ("sqlite:////var/lib/x.db", "/var/lib/x.db"),
        ("sqlite:/var/lib/x.db", "/var/lib/x.db"),
        ("sqlite:./x.db", "/srv/config/x.db"),
        ("sqlite:x.db", "/srv/config/x.db"),
        ("sqlite:../var/x.db", "/srv/var/x.db"),
    ],
)
def test_a_sqlite_url_names_a_file(text: str, path: str) -> None:
    url = parse_store_url(text, HERE)
    assert url == StoreUrl("sqlite", path=Path(path))
    assert str(url) == f"sqlite://{path}"
    assert parse_store_url(str(url), HERE) == url
    assert not url.shared


def test_an_aerospike_url_names_hosts_and_a_namespace() -> None:
    url = parse_store_url("aerospike://a:3000,b,[::1]:4000,[::2]/sms", HERE)
    assert url.hosts == (("a", 3000), ("b", 3000), ("::1", 4000), ("::2", 3000))
    assert (url.kind, url.namespace, url.shared) == ("aerospike", "sms", True)
    assert str(url) == "aerospike://a:3000,b:3000,[::1]:4000,[::2]:3000/sms"


def test_the_store_in_memory_is_a_word() -> None:
    url = StoreSettings.model_validate({"url": "memory:"}).url
    assert (url, str(url), url.shared) == (StoreUrl("memory"), "memory:", False)
    assert StoreSettings(url=url).url is url
    assert StoreSettings.model_validate({"url": "sqlite:x.db"}).url.path == Path.cwd() / "x.db"


@pytest.mark.parametrize(
    "text",
    ["", "memory", "sqlite:", "sqlite://", "sqlite:///", "sqlite::memory:", "sqlite:x.db?mode=ro",
     "sqlite:x#y", "sqlite:a\0b", "mysql://x", "aerospike://", "aerospike://a", "aerospike://a/", "aerospike://a/b/c",
     "aerospike:///sms", "aerospike://a:0/sms", "aerospike://a:65536/sms", "aerospike://a:x/sms",
     "aerospike://a,,b/sms", "aerospike://a/" + "n" * 32],
)  # fmt: skip
def test_anything_else_is_no_store(text: str) -> None:
    with pytest.raises(ValueError, match=r"must|names|memory|options|host|port"):
        parse_store_url(text, HERE)


@pytest.mark.parametrize(("text", "tag"), [("0x1400", 0x1400), ("1400", 0x1400), ("0xFFff", 0xFFFF)])
def test_a_tlv_tag_is_four_hexadecimal_digits(text: str, tag: int) -> None:
    assert parse_tag(text) == tag


@pytest.mark.parametrize("tag", [5120, "0x140", "0x14000", "1４00", "0x020C", "0x0204", None])
def test_another_tag_is_refused(tag: object) -> None:
    with pytest.raises(ValueError, match=r"tag is four|set by the gateway"):
        parse_tag(tag)


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (0, b"\0"), (255, b"\xff"), (256, b"\1\0"), (65_536, b"\0\1\0\0"), (2**32 - 1, b"\xff" * 4),
        ("", b""), ("abc", b"abc"), ("é", b"\xe9"), ("hex:0a0B", b"\x0a\x0b"), ("hex:", b""),
        (b"raw", b"raw"),
    ],
)  # fmt: skip
def test_a_tlv_value_is_an_integer_text_or_octets(value: object, octets: bytes) -> None:
    assert parse_value(value) == octets


@pytest.mark.parametrize("value", [True, -1, 2**32, 1.5, None, "→", "hex:0", "hex:zz", "x" * 256, ["a"]])
def test_another_tlv_value_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"must be|hex:|at most 255"):
        parse_value(value)


@pytest.mark.parametrize("text", ["", "000002000000000R", "260101120000004+", "260101120000004-"])
def test_a_validity_period_is_empty_or_sixteen_characters(text: str) -> None:
    assert LinkSettings(validity_period=text).validity_period == text


def test_links_of_one_account_are_told_by_its_name() -> None:
    assert LinkSettings(system_id="a", host="smsc", port=1).account_name == "a@smsc:1"
    assert LinkSettings(system_id="a", account="shared").account_name == "shared"


def test_sections_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        LinkSettings().__setattr__("port", 1)


def test_a_public_key_is_looked_at_for_its_algorithm() -> None:
    pem = (Path(__file__).parents[2] / "bad_config/parts/ed25519.pem").read_bytes()
    assert public_key_fault(pem, "EdDSA") == ""
    assert public_key_fault(pem, "RS256") == "is not an RSA key, as RS256 needs"
    assert public_key_fault(pem, "ES256") == "is not a P-256 key, as ES256 needs"


@pytest.mark.parametrize(
    ("key", "algorithm", "fault"),
    [
        (generate_private_key(65_537, 2048), "RS256", ""),
        (generate_private_key(65_537, 1024), "RS256", "is an RSA key of 1024 bits; RS256 needs 2048"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256", ""),
        (ec.generate_private_key(ec.SECP384R1()), "ES256", "is not a P-256 key, as ES256 needs"),
        (ec.generate_private_key(ec.SECP256R1()), "EdDSA", "is not an Ed25519 or Ed448 key, as EdDSA needs"),
    ],
    ids=["rsa", "short-rsa", "p256", "p384", "p256-as-eddsa"],
)
def test_a_key_is_as_long_as_its_algorithm_needs(
    key: RSAPrivateKey | ec.EllipticCurvePrivateKey, algorithm: str, fault: str
) -> None:
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert public_key_fault(pem, algorithm) == fault


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:planted@127.0.0.1:6379/0", f"redis://:{MASK}@127.0.0.1:6379/0"),
        ("redis://planted@127.0.0.1", f"redis://{MASK}@127.0.0.1"),
        ("redis://127.0.0.1/0", "redis://127.0.0.1/0"),
        ("rediss+sentinel://me:planted@a,b:1/main", f"rediss+sentinel://me:{MASK}@a,b:1/main"),
    ],
)
def test_a_password_in_a_url_is_masked(url: str, shown: str) -> None:
    limits = masked(Settings(limits=LimitsSettings(redis_url=url)))["limits"]
    assert isinstance(limits, dict)
    assert limits["redis_url"] == shown


def test_the_password_of_redis_comes_from_its_file_and_one_in_the_url_is_told(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from-file\n")
    (tmp_path / "password").chmod(0o600)
    path = tmp_path / "smsproxy.toml"
    path.write_text('[limits]\nredis_url = "redis://me@127.0.0.1"\nredis_password_file = "password"\n')
    redis = load(path).limits.redis
    assert redis is not None
    assert (redis.username, redis.password) == ("me", "from-file")
    path.write_text('[limits]\nredis_url = "redis://:planted@127.0.0.1"\n')
    told = [str(warning) for warning in load(path).warnings if "redis_url" in str(warning)]
    assert told == [
        f"{path}: limits.redis_url: its password stands in the file: for development, "
        "else redis_password_file"
    ]
    assert LimitsSettings().redis is None


def test_a_secret_in_a_model_may_be_text_or_a_secret() -> None:
    assert LinkSettings(password=Secret("a")) == LinkSettings.model_validate({"password": "a"})
