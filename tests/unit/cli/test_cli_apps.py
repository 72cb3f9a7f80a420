"""`smsproxy app new`, and `smsproxy token` for each kind of app."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from cli_kit import Invoke, write_config
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from smsproxy.auth.jwt import JwtAuthenticator
from smsproxy.domain.caller import Caller
from smsproxy.settings import load

PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
KEYS: dict[str, PrivateKey] = {
    "EdDSA": Ed25519PrivateKey.generate(),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "RS256": rsa.generate_private_key(65_537, 2048),
}


def caller_of(config: Path, app_id: int, token: str) -> Caller:
    """Whom the daemon of this configuration sees behind a token."""
    return JwtAuthenticator(load(config).apps).authenticate(f"Bearer {token}", str(app_id), time.time())


# -- app new -----------------------------------------------------------------------------------------------


def test_a_new_app_has_a_secret_of_its_own_and_an_entry_that_loads(invoke: Invoke, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    done = invoke("app", "new", "--config", config, "--name", 'Billing "EU"', "--rate", 50)
    assert done.exit_code == 0
    assert done.stdout == (
        '[apps.2]\nname = "Billing \\"EU\\""\nsecret_file = "app-2.secret"\nrate_per_s = 50\n'
    )
    secret = tmp_path / "app-2.secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(secret.read_text().strip())) == 32
    assert secret.read_text().strip() not in done.output
    assert str(secret) in done.stderr
    config.write_text(config.read_text() + done.stdout)
    app = load(config).apps[2]
    assert (app.name, app.rate_per_s) == ('Billing "EU"', 50)
    token = invoke("token", "--app", 2, "--config", config).stdout.strip()
    assert caller_of(config, 2, token).app_id == 2


def test_two_apps_have_two_secrets(invoke: Invoke, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    for number in (7, 8):
        assert invoke("app", "new", "--id", number, "--config", config).exit_code == 0
    assert (tmp_path / "app-7.secret").read_text() != (tmp_path / "app-8.secret").read_text()


def test_a_secret_elsewhere_is_named_by_its_whole_path(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    elsewhere = tmp_path / "keys.secret"
    done = invoke(
        "app", "new", "--json", "--config", write_config(tmp_path / "etc"), "--secret-file", elsewhere
    )
    told = json.loads(done.stdout)
    assert told == {
        "app_id": 2,
        "secret_file": str(elsewhere),
        "toml": f'[apps.2]\nsecret_file = "{elsewhere}"\n',
    }
    assert done.stderr == ""


def test_nothing_that_exists_is_overwritten(invoke: Invoke, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    before = config.read_text()
    (tmp_path / "app-2.secret").write_text("mine")
    (tmp_path / "app-3.secret").symlink_to(tmp_path / "not-there")
    for number in (2, 3):
        done = invoke("app", "new", "--id", number, "--config", config)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == f"smsproxy: {tmp_path}/app-{number}.secret: File exists\n"
    assert (tmp_path / "app-2.secret").read_text() == "mine"
    assert not (tmp_path / "not-there").exists()
    assert config.read_text() == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--id", 1), "app 1 is in the configuration already"),
        (("--name", "a\nb"), "name: Value error, must be printable"),
        (("--name", "x" * 65), "name: String should have at most 64 characters"),
        (("--rate", 10**9), "rate_per_s: Input should be less than or equal to 10000000"),
        (("--secret-file", "/nowhere/at/all"), "/nowhere/at/all: No such file or directory"),
    ],
)
def test_an_app_that_cannot_be_is_one_line_and_no_file(
    invoke: Invoke, tmp_path: Path, arguments: tuple[str | int, ...], told: str
) -> None:
    done = invoke("app", "new", "--config", write_config(tmp_path), *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"smsproxy: {told}")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["smsproxy.toml"]


# -- token, for each kind of app ---------------------------------------------------------------------------


def write_key(path: Path, key: PrivateKey, how: KeySerializationEncryption | None = None) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how or NoEncryption()))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """App 1 has a secret, apps 2, 3 and 4 each a public key."""
    more = ""
    for number, (algorithm, key) in enumerate(KEYS.items(), 2):
        public = tmp_path / f"{algorithm}.pub"
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        more += f'[apps.{number}]\npublic_key_file = "{public.name}"\nalgorithm = "{algorithm}"\n'
    return write_config(tmp_path, more=more)


@pytest.mark.parametrize(("number", "algorithm"), list(enumerate(KEYS, 2)))
def test_a_private_key_signs_for_its_app(
    invoke: Invoke, tmp_path: Path, config: Path, number: int, algorithm: str
) -> None:
    key_file = write_key(tmp_path / "private.pem", KEYS[algorithm])
    done = invoke(
        "token", "--app", number, "--key-file", key_file, "--scope", "send", "--ttl", "1h", "--config", config
    )
    assert (done.exit_code, done.stderr) == (0, "")
    caller = caller_of(config, number, done.stdout.strip())
    assert (caller.app_id, caller.scopes) == (number, {"send"})
    assert 3600 <= caller.expires_at - 30 - time.time() + 5 < 3607


def test_a_token_of_a_secret_may_be_for_less(invoke: Invoke, config: Path) -> None:
    done = invoke("token", "--app", 1, "--scope", "read", "--config", config)
    assert caller_of(config, 1, done.stdout.strip()).scopes == {"read"}
    done = invoke("token", "--app", 1, "--scope", "admin", "--config", config)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "smsproxy: app 1 does not have the scope admin\n"


def test_a_private_key_that_cannot_sign_is_told_in_one_line(
    invoke: Invoke, tmp_path: Path, config: Path
) -> None:
    wrong_kind = write_key(tmp_path / "rsa.pem", KEYS["RS256"])
    stranger = write_key(tmp_path / "stranger.pem", Ed25519PrivateKey.generate())
    locked = write_key(tmp_path / "locked.pem", KEYS["EdDSA"], BestAvailableEncryption(b"pass phrase"))
    (tmp_path / "text.pem").write_text("no key")
    not_a_key = "the key is not a private key for EdDSA, in PEM, unencrypted"
    for key_file, told in [
        (wrong_kind, not_a_key),
        (locked, not_a_key),
        (tmp_path / "EdDSA.pub", not_a_key),
        (tmp_path / "text.pem", not_a_key),
        (stranger, "the private key is not the one to the public key of app 2"),
        (tmp_path / "none.pem", f"cannot read {tmp_path}/none.pem: No such file or directory"),
    ]:
        done = invoke("token", "--app", 2, "--key-file", key_file, "--config", config)
        assert (done.exit_code, done.stdout) == (2, ""), key_file
        assert done.stderr.splitlines()[-1] == f"smsproxy: {told}"


def test_each_kind_of_app_is_told_which_key_it_needs(invoke: Invoke, tmp_path: Path, config: Path) -> None:
    done = invoke("token", "--app", 2, "--config", config)
    assert done.stderr == (
        "smsproxy: app 2 has a public key only: whoever holds the private key makes its tokens\n"
    )
    key_file = write_key(tmp_path / "private.pem", KEYS["EdDSA"])
    done = invoke("token", "--app", 1, "--key-file", key_file, "--config", config)
    assert done.stderr == "smsproxy: app 1 has a secret, which signs its tokens: it needs no private key\n"


def test_a_key_that_everybody_can_read_is_a_warning(invoke: Invoke, tmp_path: Path, config: Path) -> None:
    key_file = write_key(tmp_path / "private.pem", KEYS["EdDSA"])
    key_file.chmod(0o644)
    done = invoke("token", "--app", 2, "--key-file", key_file, "--config", config)
    assert done.exit_code == 0
    assert "every user of this host can read the key" in done.stderr
