"""Secrets: never shown, read once from files and credentials."""

from __future__ import annotations

import copy
import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from smsproxy.settings import ConfigError, Secret, Settings, describe, load, masked

PLANTED = "planted-secret-of-more-than-thirty-two-octets"
APP = "[apps.1]\n"
LINK = '[links.1]\nhost = "smsc.example"\nsystem_id = "a"\n'


def write(directory: Path, text: str, name: str = "smsproxy.toml", mode: int = 0o600) -> Path:
    path = directory / name
    path.write_text(text)
    path.chmod(mode)
    return path


def faults_of(path: Path, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return [str(fault).removeprefix(f"{path}: ") for fault in caught.value.faults]


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r:>20}".format, "{:s}".format, "%s".__mod__])
def test_a_secret_prints_as_stars(show: Callable[[Secret], str]) -> None:
    assert PLANTED not in show(Secret(PLANTED))
    assert "****" in show(Secret(PLANTED))


def test_a_secret_is_neither_pickled_nor_copied() -> None:
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            attempt(Secret(PLANTED))


def test_secrets_are_equal_by_their_octets() -> None:
    assert Secret("a") == Secret(b"a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert not Secret()


def test_a_relative_secret_file_is_beside_the_file_that_names_it(tmp_path: Path) -> None:
    write(tmp_path, PLANTED + "\n", "secret")
    settings = load(write(tmp_path, APP + 'secret_file = "secret"\n'))
    assert settings.apps[1].secrets == (Secret(PLANTED),)
    assert settings.apps[1].secret_file == str(tmp_path / "secret")


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (PLANTED, PLANTED),
        (PLANTED + "\n", PLANTED),
        (PLANTED + "\r\n", PLANTED),
        (PLANTED + "\n\n", PLANTED + "\n"),
    ],
)
def test_one_newline_at_the_end_is_not_part_of_the_secret(tmp_path: Path, content: str, secret: str) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    settings = load(write(tmp_path, APP + 'secret_file = "secret"\n'))
    assert settings.apps[1].secret.text() == secret


def test_current_and_previous_secret_are_valid_together(tmp_path: Path) -> None:
    write(tmp_path, PLANTED, "new")
    write(tmp_path, PLANTED + "-old", "old")
    text = APP + 'secret_file = "new"\nprevious_secret_file = "old"\n'
    assert load(write(tmp_path, text)).apps[1].secrets == (Secret(PLANTED), Secret(PLANTED + "-old"))


def test_a_credential_is_read_from_systemds_directory(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write(tmp_path / "run", "secret12\n", "link1")
    path = write(tmp_path, LINK + 'password_file = "credential:link1"\n')
    settings = load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path / "run")})
    assert settings.links[1].password.octets() == b"secret12"


@pytest.mark.parametrize("name", ["", "..", "a/b", "../etc/passwd", "a b"])
def test_a_credentials_name_is_not_a_path(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, LINK + f'password_file = "credential:{name}"\n')
    (fault,) = faults_of(path, CREDENTIALS_DIRECTORY=str(tmp_path))
    assert fault.startswith("links.1.password_file: a credential is named by")


def test_a_world_readable_secret_is_a_warning_with_the_fix(tmp_path: Path) -> None:
    write(tmp_path, PLANTED, "secret", mode=0o644)
    path = write(tmp_path, APP + 'secret_file = "secret"\n')
    told = [str(warning) for warning in load(path).warnings]
    fix = f"every user of this host can read it: chmod 600 {tmp_path / 'secret'}"
    assert f"{path}: apps.1.secret_file: {fix}" in told
    (tmp_path / "secret").chmod(0o640)
    assert not any("chmod" in str(warning) for warning in load(path).warnings)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"x" * 65_537, "more than 65536 octets"),
        (b"short", "at least 32"),
    ],
)
def test_a_secret_file_of_the_wrong_size_is_a_fault(tmp_path: Path, content: bytes, part: str) -> None:
    (tmp_path / "secret").write_bytes(content)
    (fault,) = faults_of(write(tmp_path, APP + 'secret_file = "secret"\n'))
    assert fault.startswith("apps.1.secret_file: ")
    assert part in fault


def test_a_password_file_that_is_not_text_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "pw").write_bytes(b"\xff\xfe")
    (fault,) = faults_of(write(tmp_path, LINK + 'password_file = "pw"\n'))
    assert fault == "links.1.password_file: must be Latin-1: one octet a character on the wire"


def test_a_directory_is_not_a_secret(tmp_path: Path) -> None:
    (fault,) = faults_of(write(tmp_path, APP + 'secret_file = "."\n'))
    assert fault == f"apps.1.secret_file: cannot read {tmp_path}: Is a directory"


@pytest.mark.parametrize(
    ("pem", "part"),
    [
        (b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----", "is a private key"),
        (b"not a key at all, but long enough to be one", "is not a PEM public key"),
    ],
)
def test_a_public_key_file_holds_a_public_key(tmp_path: Path, pem: bytes, part: str) -> None:
    (tmp_path / "key").write_bytes(pem)
    (fault,) = faults_of(write(tmp_path, APP + 'public_key_file = "key"\nalgorithm = "EdDSA"\n'))
    assert fault.startswith(f"apps.1.public_key_file: {part}")


def test_a_readable_public_key_is_no_warning(tmp_path: Path) -> None:
    key = Path(__file__).parents[2] / "bad_config" / "parts" / "ed25519.pem"
    write(tmp_path, key.read_text(), "key", mode=0o644)
    path = write(tmp_path, APP + 'public_key_file = "key"\nalgorithm = "EdDSA"\n' + LINK + 'password = ""\n')
    settings = load(path)
    assert settings.warnings == ()
    assert settings.apps[1].secrets == ()


def _with_everything_planted(directory: Path) -> Settings:
    write(directory, PLANTED, "old")
    text = (
        f'{APP}secret = "{PLANTED}"\nprevious_secret_file = "old"\n'
        f'[links.1]\nsystem_id = "a"\npassword = "planted8"\ntlvs = {{ 0x1400 = "hex:0A" }}\n'
        '[store]\npassword = "planted-store"\n'
        '[policy]\nurl = "http://user:planted-url@127.0.0.1:8080/x"\n'
    )
    return load(write(directory, text))


def test_nothing_that_shows_settings_shows_a_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = _with_everything_planted(tmp_path)
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("%s %r", settings, settings.apps[1])
    apps = f"{settings.apps[1]} {settings.links[1]!r} {settings.store!s}"
    for shown in (describe(settings), str(masked(settings)), caplog.text, apps):
        assert "planted-secret" not in shown
        assert "planted8" not in shown
        assert "planted-store" not in shown
    assert "planted-url" not in describe(settings)


def test_check_config_shows_every_key_with_stars_for_secrets(tmp_path: Path) -> None:
    lines = describe(_with_everything_planted(tmp_path)).splitlines()
    for line in (
        'server.listen = "127.0.0.1:44044"', "server.drain_s = 30", 'apps.1.secret = "********"',
        'links.1.password = "********"', 'links.1.tlvs.5120 = "hex:0A"', 'store.password = "********"',
        'store.url = "sqlite:///var/lib/smsproxy/smsproxy.db"', "policy.strategies.cp1.daily_max = 1",
        'policy.url = "http://user:********@127.0.0.1:8080/x"', "pools = {}", "apps.1.esmes = []",
        f'apps.1.previous_secret_file = "{tmp_path}{os.sep}old"', "server.tls_cert_file = \"\"",
    ):  # fmt: skip
        assert line in lines
