"""Certificates of the listeners: what is wrong with a file is told with its key, before a handshake."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from smsproxy.settings import ConfigError, Settings, all_need_certificates, apps_in_force, load
from tests.unit.links.tls_files import CertificateAuthority

APP = 'secret = "a-secret-of-more-than-thirty-two-octets"\n'


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cert.pem and key.pem belong together; other.key is of another certificate."""
    folder = tmp_path_factory.mktemp("tls")
    authority = CertificateAuthority(folder)
    (folder / "key.pem").write_bytes(authority.issue("cert")[1].read_bytes())
    authority.issue("other")
    authority.issue("locked", password=b"password")
    (folder / "both.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    (folder / "text.pem").write_text("no PEM in here\n")
    for name in ("key.pem", "other.key", "both.pem", "locked.key"):
        (folder / name).chmod(0o600)
    return folder


def loaded(folder: Path, text: str, **environ: str) -> Settings:
    path = folder / "smsproxy.toml"
    path.write_text(text)
    return load(path, environ=environ)


def told(folder: Path, text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    return {fault.key: fault.message for fault in caught.value.faults}


def warned(settings: Settings) -> dict[str, str]:
    return {fault.key: fault.message for fault in settings.warnings}


@pytest.mark.parametrize("section", ["server", "http"])
@pytest.mark.parametrize("keys", [("cert.pem", "key.pem"), ("both.pem", "")])
def test_a_certificate_with_its_key(files: Path, section: str, keys: tuple[str, str]) -> None:
    text = f'[{section}]\ntls_cert_file = "{keys[0]}"\ntls_key_file = "{keys[1]}"\n'
    assert getattr(loaded(files, text), section).tls_cert_file == str(files / keys[0])


def test_certificates_may_be_systemd_credentials(files: Path) -> None:
    text = '[server]\ntls_cert_file = "credential:cert.pem"\ntls_key_file = "credential:key.pem"\n'
    assert loaded(files, text, CREDENTIALS_DIRECTORY=str(files)).server.tls_key_file == str(files / "key.pem")


@pytest.mark.parametrize(
    ("values", "key", "part"),
    [
        ({"tls_cert_file": "none.pem"}, "tls_cert_file", "cannot read {here}/none.pem: No such file"),
        ({"tls_cert_file": "."}, "tls_cert_file", "cannot read {here}: Is a directory"),
        ({"tls_cert_file": "/dev/zero"}, "tls_cert_file", "/dev/zero has more than 1048576 octets"),
        ({"tls_cert_file": "text.pem"}, "tls_cert_file", "{here}/text.pem holds no PEM certificate"),
        ({"tls_cert_file": "key.pem"}, "tls_cert_file", "holds no PEM certificate"),
        ({"tls_cert_file": "cert.pem"}, "tls_key_file", "{here}/cert.pem holds no PEM private key"),
        ({"tls_cert_file": "cert.pem", "tls_key_file": "none"}, "tls_key_file", "cannot read"),
        ({"tls_cert_file": "cert.pem", "tls_key_file": "cert.pem"}, "tls_key_file", "no PEM private key"),
        ({"tls_cert_file": "cert.pem", "tls_key_file": "locked.key"}, "tls_key_file", "without a password"),
        (
            {"tls_cert_file": "cert.pem", "tls_key_file": "other.key"},
            "tls_key_file",
            "is not the key of the certificate in {here}/cert.pem",
        ),
        ({"tls_key_file": "key.pem"}, "tls_key_file", "a key needs tls_cert_file as well"),
        (
            {"tls_cert_file": "both.pem", "tls_client_ca_file": "text.pem"},
            "tls_client_ca_file",
            "holds no PEM certificate",
        ),
        ({"tls_client_ca_file": "cert.pem"}, "tls_client_ca_file", "need tls_cert_file as well"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_key(
    files: Path, values: dict[str, str], key: str, part: str
) -> None:
    text = "[server]\n" + "".join(f'{name} = "{value}"\n' for name, value in values.items())
    assert part.replace("{here}", str(files)) in told(files, text)[f"server.{key}"]


def test_a_key_that_everybody_can_read_is_warned_of(files: Path) -> None:
    shutil.copy(files / "key.pem", files / "open.key")
    (files / "open.key").chmod(0o644)
    settings = loaded(files, '[server]\ntls_cert_file = "cert.pem"\ntls_key_file = "open.key"\n')
    assert warned(settings)["server.tls_key_file"].endswith(f"chmod 600 {files}/open.key")


def test_an_expired_certificate_is_warned_of(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tomorrow:
        @staticmethod
        def now(zone: Any) -> Any:
            return real.now(zone).replace(year=2999)

    from smsproxy.settings import certificates

    real = certificates.datetime
    monkeypatch.setattr(certificates, "datetime", Tomorrow)
    settings = loaded(files, '[server]\ntls_cert_file = "both.pem"\n')
    assert "the certificate expired on " in warned(settings)["server.tls_cert_file"]


# -- client certificates -------------------------------------------------------------------------------------

MUTUAL = '[server]\ntls_cert_file = "both.pem"\ntls_client_ca_file = "cert.pem"\n'


def demanding(settings: Settings) -> dict[int, bool]:
    return {app_id: app.client_cert_required for app_id, app in apps_in_force(settings).items()}


def test_with_a_client_ca_and_no_word_of_an_app_all_need_a_certificate(files: Path) -> None:
    settings = loaded(files, MUTUAL + f"[apps.1]\n{APP}[apps.2]\n{APP}")
    assert demanding(settings) == {1: True, 2: True}
    assert all_need_certificates(settings)
    assert "server.tls_client_ca_file" not in warned(settings)


def test_with_the_word_of_one_app_the_others_need_none_and_it_is_said(files: Path) -> None:
    settings = loaded(files, MUTUAL + f"[apps.1]\n{APP}[apps.2]\n{APP}client_cert_required = true\n")
    assert demanding(settings) == {1: False, 2: True}
    assert not all_need_certificates(settings)
    assert "apps 1 are then served without" in warned(settings)["server.tls_client_ca_file"]


def test_without_a_client_ca_nobody_can_need_a_certificate(files: Path) -> None:
    assert demanding(loaded(files, f"[apps.1]\n{APP}")) == {1: False}
    faults = told(files, f"[apps.1]\n{APP}client_cert_required = true\n")
    assert faults == {"apps.1.client_cert_required": "needs server.tls_client_ca_file"}


# -- proxies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listen", "names", "keys"),
    [
        ("127.0.0.1:1", '["10.0.0.0/8", "unix"]', {"server.trusted_proxies.1"}),
        ("unix:/tmp/a", '["10.0.0.0/8", "unix"]', {"server.trusted_proxies.0"}),
        ("127.0.0.1:1", '["10.0.0.1", "fd00::/8"]', set()),
    ],
)
def test_proxies_that_cannot_come_are_warned_of(files: Path, listen: str, names: str, keys: set[str]) -> None:
    settings = loaded(files, f'[server]\nlisten = "{listen}"\ntrusted_proxies = {names}\n')
    assert {key for key in warned(settings) if "trusted" in key} == keys
