"""TLS on the daemon as a process: foreign callers, the commands, certificates renewed under traffic."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.flow.kit import ROOT, SECRET, SMSPROXY, Client, Config, Daemon, Smsc, running, sms, token
from tests.unit.links.tls_files import CertificateAuthority


@pytest.fixture(scope="module")
def smsc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Smsc]:
    with running(Smsc(tmp_path_factory.mktemp("smsc"), {})) as process:
        yield process


class Site:
    """A host with a daemon's configuration, and the authority that signs for it."""

    def __init__(self, folder: Path, smsc: Smsc, **server: Any) -> None:
        self.folder = folder
        self.authority = CertificateAuthority(folder)
        self.renew(self.authority)
        files = {"tls_cert_file": "listener.pem", "tls_key_file": "listener.key"}
        self.config = Config(folder, smsc.port, {"server": files | server})

    def renew(self, authority: CertificateAuthority) -> None:
        cert, key = authority.issue("localhost")
        shutil.copy(cert, self.folder / "listener.pem")
        shutil.copy(key, self.folder / "listener.key")
        (self.folder / "listener.key").chmod(0o600)

    def next_authority(self) -> CertificateAuthority:
        (self.folder / "next").mkdir()
        return CertificateAuthority(self.folder / "next")

    def client(self, daemon: Daemon, *, shows: str = "", app_id: int = 1) -> Client:
        root = self.authority.file.read_bytes()
        if shows:
            cert, key = self.authority.issue(shows)
            credentials = grpc.ssl_channel_credentials(root, key.read_bytes(), cert.read_bytes())
        else:
            credentials = grpc.ssl_channel_credentials(root)
        return Client(f"localhost:{daemon.port}", app_id=app_id, bearer=token(app_id), tls=credentials)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*SMSPROXY, *arguments, "--config", str(self.config.path)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=40)


def shown_certificate(port: int) -> bytes:
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))


def first_certificate(file: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(file.read_text())


def test_a_campaign_goes_on_while_the_certificate_is_renewed(tmp_path: Path, smsc: Smsc) -> None:
    site = Site(tmp_path, smsc)
    with running(Daemon(site.config.write())) as daemon, site.client(daemon) as client:
        daemon.wait_bound()
        said = []
        for number, answer in enumerate(client.stream(sms(daddr=f"9989{n:08}") for n in range(600))):
            said.append(answer.status)
            if number == 100:
                site.renew(site.next_authority())
                daemon.process.send_signal(signal.SIGHUP)
                daemon.wait_line('"event": "reloaded"')
                assert shown_certificate(daemon.port) == first_certificate(tmp_path / "listener.pem")
        assert said == ["submitted"] * 600
        assert client.send().status == "submitted"  # on the connection of before
        assert not daemon.count_lines("reload_needs_restart")


@pytest.mark.long
def test_a_bad_certificate_at_sighup_changes_nothing_and_is_named(tmp_path: Path, smsc: Smsc) -> None:
    site = Site(tmp_path, smsc)
    with running(Daemon(site.config.write())) as daemon, site.client(daemon) as client:
        daemon.wait_bound()
        before = first_certificate(tmp_path / "listener.pem")
        shutil.copy(site.next_authority().issue("localhost")[0], tmp_path / "listener.pem")  # the key stays
        daemon.process.send_signal(signal.SIGHUP)
        line = daemon.wait_line('"event": "reload_refused"')
        assert "server.tls_key_file: is not the key of the certificate" in json.loads(line)["fault"]
        assert shown_certificate(daemon.port) == before
        assert client.send().status == "submitted"


@pytest.mark.long
def test_the_commands_trust_the_certificate_of_their_configuration(tmp_path: Path, smsc: Smsc) -> None:
    site = Site(tmp_path, smsc)
    with running(Daemon(site.config.write())) as daemon:
        daemon.wait_bound()
        probe = ("probe", "--esme", "100", "--address")
        assert site.run(*probe, f"127.0.0.1:{daemon.port}").stdout.startswith("bound")
        assert site.run(*probe, f"localhost:{daemon.port}", "--tls-ca-file", str(tmp_path / "ca.pem")).stdout
        later = site.next_authority()
        wrong_authority = site.run(*probe, f"127.0.0.1:{daemon.port}", "--tls-ca-file", str(later.file))
        site.renew(later)  # not reloaded: the daemon shows another one than the file has
        other = site.run(*probe, f"127.0.0.1:{daemon.port}")
        for refused in (wrong_authority, other):
            assert refused.returncode == 2
            assert refused.stdout == ""
            assert len(refused.stderr.splitlines()) == 1
            assert "certificate verify failed" in refused.stderr.lower()


@pytest.mark.long
def test_an_app_that_needs_a_certificate_and_one_that_does_not(tmp_path: Path, smsc: Smsc) -> None:
    site = Site(tmp_path, smsc, tls_client_ca_file="ca.pem")
    site.config.tables["apps.2"] = {"secret": SECRET, "client_cert_required": True}
    with running(Daemon(site.config.write())) as daemon:
        daemon.wait_bound()
        with site.client(daemon) as bare, site.client(daemon, app_id=2) as lacking:
            assert bare.send().status == "submitted"
            with pytest.raises(grpc.RpcError) as caught:
                lacking.send(sms(app_id=2))
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with site.client(daemon, shows="caller", app_id=2) as showing:
            assert showing.send(sms(app_id=2)).status == "submitted"
        probe = ("probe", "--esme", "100", "--app", "2", "--address", f"127.0.0.1:{daemon.port}")
        assert site.run(*probe).returncode == 2
        cert, key = (str(file) for file in site.authority.issue("caller"))
        assert site.run(*probe, "--tls-cert-file", cert, "--tls-key-file", key).returncode == 0


@pytest.mark.long
def test_with_a_client_ca_and_no_word_of_an_app_everybody_needs_a_certificate(
    tmp_path: Path, smsc: Smsc
) -> None:
    site = Site(tmp_path, smsc, tls_client_ca_file="ca.pem")
    with running(Daemon(site.config.write())) as daemon:
        daemon.wait_bound()
        with site.client(daemon) as bare, pytest.raises(grpc.RpcError) as caught:
            bare.send()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        with site.client(daemon, shows="caller") as showing:
            assert showing.send().status == "submitted"


def test_a_balancer_says_who_calls_and_the_bound_is_the_callers(tmp_path: Path, smsc: Smsc) -> None:
    site = Site(tmp_path, smsc, trusted_proxies=["127.0.0.0/8"], max_connections_per_address=2)
    context = ssl.create_default_context(cafile=site.authority.file)
    context.set_alpn_protocols(["h2"])

    def arrive(address: str) -> ssl.SSLSocket:
        connection = socket.create_connection(("127.0.0.1", daemon.port), timeout=20)
        ends = socket.inet_aton(address) * 2 + struct.pack("!HH", 50_000, 44044)
        connection.sendall(b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11, len(ends)) + ends)
        return context.wrap_socket(connection, server_hostname="localhost")

    with running(Daemon(site.config.write())) as daemon:
        taken = [arrive("192.0.2.7"), arrive("192.0.2.7")]
        with pytest.raises((ConnectionError, ssl.SSLError)):
            arrive("192.0.2.7")
        taken += [arrive(f"192.0.2.{last}") for last in range(8, 12)]
        for connection in taken:
            assert connection.recv(9)[3] == 4  # SETTINGS
            connection.close()


@pytest.mark.long
def test_the_http_listener_speaks_tls_and_shows_a_renewed_certificate(tmp_path: Path, smsc: Smsc) -> None:
    site = Site(tmp_path, smsc)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    files = {"tls_cert_file": "listener.pem", "tls_key_file": "listener.key"}
    site.config.tables["http"] = files | {"listen": f"127.0.0.1:{port}"}
    with running(Daemon(site.config.write())) as daemon:
        assert shown_certificate(port) == first_certificate(tmp_path / "listener.pem")
        assert status_line(port, site.authority) == b"HTTP/1.1 200 OK"
        later = site.next_authority()
        site.renew(later)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_line('"event": "reloaded"')
        assert status_line(port, later) == b"HTTP/1.1 200 OK"


def status_line(port: int, authority: CertificateAuthority) -> bytes:
    """By address: such a client names no host in its handshake."""
    context = ssl.create_default_context(cafile=authority.file)
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
        secure.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        return secure.recv(4096).partition(b"\r\n")[0]
