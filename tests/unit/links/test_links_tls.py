"""TLS contexts: what is wrong with a file is said with its key and its name."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from tls_files import CertificateAuthority

from smsproxy.links.tls import client_context
from smsproxy.settings import LinkSettings


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


def settings(**values: object) -> LinkSettings:
    return LinkSettings(system_id="esme", tls=True, **values)


def test_a_link_without_tls_has_no_context() -> None:
    assert client_context(LinkSettings(system_id="esme")) is None


def test_the_certificate_and_the_name_are_always_checked() -> None:
    context = client_context(settings())
    assert context is not None
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_the_oldest_version_is_a_setting() -> None:
    context = client_context(settings(tls_min_version="1.3"))
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3


def test_ca_and_own_certificate_are_loaded(authority: CertificateAuthority) -> None:
    cert, key = authority.issue("esme")
    context = client_context(
        settings(tls_ca_file=str(authority.file), tls_cert_file=str(cert), tls_key_file=str(key))
    )
    assert context is not None
    assert len(context.get_ca_certs()) == 1


def test_a_missing_ca_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"tls_ca_file .*nothing\.pem: No such file or directory"):
        client_context(settings(tls_ca_file=str(tmp_path / "nothing.pem")))


def test_a_ca_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    with pytest.raises(OSError, match=r"tls_ca_file .*ca\.pem: not usable \(NO_CERTIFICATE_OR_CRL_FOUND\)"):
        client_context(settings(tls_ca_file=str(tmp_path / "ca.pem")))


def test_a_key_of_another_certificate_is_named(authority: CertificateAuthority) -> None:
    cert, _ = authority.issue("esme")
    _, other_key = authority.issue("other")
    with pytest.raises(OSError, match=r"tls_key_file .*other\.key: not usable \(KEY_VALUES_MISMATCH\)"):
        client_context(settings(tls_cert_file=str(cert), tls_key_file=str(other_key)))


def test_an_encrypted_key_is_an_error_and_asks_nobody(authority: CertificateAuthority) -> None:
    cert, key = authority.issue("esme", password=b"secret")
    with pytest.raises(OSError, match="the key is encrypted"):
        client_context(settings(tls_cert_file=str(cert), tls_key_file=str(key)))
