"""Loading: what a good configuration becomes, from one file or several."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from annotated_types import Ge, Le

from smsproxy.settings import (
    AppSettings,
    BlacklistSettings,
    ConfigError,
    HttpSettings,
    LimitsSettings,
    LinkSettings,
    PolicySettings,
    PoolMember,
    PoolSettings,
    Secret,
    ServerSettings,
    Settings,
    StoreSettings,
    StrategySettings,
    TextSettings,
    default_path,
    load,
    masked,
)
from smsproxy.settings.fields import Section
from tests.unit.links.tls_files import CertificateAuthority

SECRET = "a-secret-of-more-than-thirty-two-octets"
SHIPPED = Path(__file__).parents[3] / "config"
SECTIONS: list[type[Section]] = [
    ServerSettings, HttpSettings, AppSettings, TextSettings, LimitsSettings, PolicySettings, StrategySettings,
    BlacklistSettings, StoreSettings, LinkSettings, PoolMember, PoolSettings,
]  # fmt: skip

# Spec §3, less the values that are only examples there (secrets, ids, a relative path of the blacklist), and
# the keys of a link that decision 0006 adds.
SPEC_DEFAULTS = """
[server]
listen = "127.0.0.1:44044"
instance = ""
reuse_port = false
tls_cert_file = ""
tls_key_file = ""
tls_client_ca_file = ""
stream_window = 1024
stream_reorder_max = 16384
max_in_flight = 50000
max_message_bytes = 65536
max_connections = 512
max_connections_per_address = 64
trusted_proxies = []
max_resets_per_10s = 200
first_byte_s = 5
message_s = 10
idle_s = 300
max_age_s = 3600
default_deadline_s = 30
drain_s = 30
[http]
listen = "127.0.0.1:8088"
tls_cert_file = ""
tls_key_file = ""
[text]
max_segments = 10
[limits]
redis_url = ""
process_rate_per_s = 0
max_wait_ms = 1000
on_redis_loss = "local"
instances = 1
[policy]
engine = "embedded"
path = ""
url = ""
timeout_ms = 200
concurrency = 64
on_error = "refuse"
timezone = "UTC"
[policy.strategies.cp1]
daily_max = 1
weekly_max = 3
blacklist = true
mode = "enforce"
scope = "recipient"
[policy.strategies.onbuild_cp1]
counts_as = "cp1"
blacklist = true
mode = "count"
[policy.strategies.cp2]
duplicate_window_s = 86400
[policy.strategies.blacklist]
blacklist = true
[policy.blacklist]
[store]
url = "sqlite:///var/lib/smsproxy/smsproxy.db"
user = ""
password_file = ""
tls_name = ""
retention_s = 259200
receipt_timeout_s = 172800
"""
SPEC_LINK = """
host = "127.0.0.1"
port = 2775
enabled = true
tls = false
tls_ca_file = ""
tls_cert_file = ""
tls_key_file = ""
tls_server_name = ""
tls_min_version = "1.2"
system_type = ""
allow_long_password = false
account = ""
bind = "transceiver"
sessions = 1
window = 50
rate_per_s = 200
burst = 200
max_waiting = 10000
enquire_link_s = 30
response_timeout_s = 10
bind_timeout_s = 10
reconnect_max_s = 120
interface_version = 0x34
address_range = ""
gsm7 = true
gsm7_data_coding = 0
ucs2_data_coding = 8
latin1 = false
latin1_data_coding = 3
national_shift = []
transliterate = false
long_messages = "udh8"
receipt_id = "raw"
receipt_by_text = false
registered_delivery = "all"
validity_period = ""
priority = 0
service_type = ""
tlvs = {}
"""


def write(directory: Path, text: str, name: str = "smsproxy.toml") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def faults_of(path: Path, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return [str(fault).removeprefix(f"{path}: ") for fault in caught.value.faults]


def test_an_empty_file_gives_the_defaults_of_the_contract(tmp_path: Path) -> None:
    from_nothing = load(write(tmp_path, ""))
    spelled_out = load(write(tmp_path, SPEC_DEFAULTS, "spelled.toml"))
    assert masked(from_nothing) == masked(spelled_out)
    assert from_nothing.server == ServerSettings()


def test_every_link_default_is_the_contracts(tmp_path: Path) -> None:
    account = '[links.1]\nsystem_id = "a"\npassword = "b"\n'
    short = load(write(tmp_path, account)).links[1]
    long = load(write(tmp_path, account + SPEC_LINK, "long.toml")).links[1]
    assert short == long
    assert set(tomllib.loads(SPEC_LINK)) | {"system_id", "password", "password_file"} == set(
        LinkSettings.model_fields
    )


def test_every_app_default_is_the_contracts() -> None:
    app = AppSettings(secret=Secret(SECRET))
    assert (app.rate_per_s, app.burst, app.esmes, app.senders) == (0, 0, (), ())
    assert (app.scopes, app.client_cert_required, app.algorithm) == (("send", "read"), False, "HS256")


def test_the_shipped_configuration_loads() -> None:
    settings = load(SHIPPED / "smsproxy.toml")
    assert settings.apps[1].secrets[0].octets().startswith(b"development-only")
    assert settings.links[100].system_id == "smsproxy"
    assert len(settings.links[100].password.octets()) <= 8
    assert [(m.link, m.weight) for m in settings.pools[1000].members] == [(100, 1)]
    assert settings.server.listen == "127.0.0.1:44044"
    assert settings.store.url.path == SHIPPED.parent / "var" / "smsproxy.db"
    assert {"cp1", "onbuild_cp1", "cp2", "blacklist"} <= settings.policy.strategies.keys()
    assert settings.policy.strategies == PolicySettings().strategies
    assert settings.policy.blacklist.files == (str(SHIPPED / "blacklist.csv"),)


def test_the_shipped_configuration_warns_of_nothing_but_its_development_secrets() -> None:
    keys = [warning.key for warning in load(SHIPPED / "smsproxy.toml").warnings]
    assert keys == ["apps.1.secret", "links.100.password"]


def test_the_production_example_loads_with_its_credentials(tmp_path: Path) -> None:
    for name in ("app1", "app1-previous", "redis", "store"):
        (tmp_path / name).write_text(SECRET)
    authority = CertificateAuthority(tmp_path)
    for name, file in zip(
        ("grpc-cert", "grpc-key", "grpc-client-ca"), (*authority.issue("a"), authority.file), strict=True
    ):
        file.rename(tmp_path / name)
    for name in ("link100", "link101"):
        (tmp_path / name).write_text("secret12\n")
    key = Path(__file__).parents[2] / "bad_config" / "parts" / "ed25519.pem"
    (tmp_path / "app2-public").write_bytes(key.read_bytes())
    assert load(SHIPPED / "production.toml", environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}).apps[2]


def test_integers_and_fractions_are_both_durations(tmp_path: Path) -> None:
    server = load(write(tmp_path, "[server]\ndrain_s = 1\nidle_s = 0.5\n")).server
    assert (server.drain_s, server.idle_s) == (1.0, 0.5)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_field_has_a_sentence_and_every_number_has_bounds(section: type[Section]) -> None:
    for name, field in section.model_fields.items():
        assert field.description, name
        if field.annotation in (int, float):
            assert any(isinstance(bound, Ge) for bound in field.metadata), name
            assert any(isinstance(bound, Le) for bound in field.metadata), name


def test_bounds_are_wide_enough_for_a_thousand_slots_and_a_million_a_second() -> None:
    link = LinkSettings(system_id="a", window=1000, rate_per_s=1_000_000, burst=1_000_000)
    app = AppSettings(secret=Secret(SECRET), rate_per_s=1_000_000, burst=1_000_000)
    assert (link.window, app.rate_per_s) == (1000, 1_000_000)
    assert LimitsSettings(process_rate_per_s=1_000_000).process_rate_per_s == 1_000_000


def test_a_table_may_come_from_an_included_file(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    write(tmp_path / "parts", '[links.2]\nsystem_id = "b"\npassword_file = "pw"\n', "links.toml")
    write(tmp_path / "parts", "secret12\n", "pw")
    write(tmp_path / "parts", "[policy.strategies.quiet]\ndaily_max = 1\n", "policy.toml")
    main = write(
        tmp_path,
        'include = ["parts/links.toml", "parts/policy.toml"]\n'
        '[links.1]\nsystem_id = "a"\npassword = "b"\n[policy]\ntimezone = "Asia/Tashkent"\n',
    )
    settings = load(main)
    assert sorted(settings.links) == [1, 2]
    assert settings.links[2].password.octets() == b"secret12"
    assert settings.links[2].password_file == str(tmp_path / "parts" / "pw")
    assert settings.policy.timezone == "Asia/Tashkent"
    assert settings.policy.strategies["quiet"].daily_max == 1
    assert settings.files == (main, tmp_path / "parts/links.toml", tmp_path / "parts/policy.toml")


def test_a_fault_names_the_included_file_it_is_in(tmp_path: Path) -> None:
    write(
        tmp_path, "[policy.strategies.quiet]\ndaily_max = -1\n[policy.blacklist]\nfile = 1\n", "policy.toml"
    )
    main = write(tmp_path, 'include = ["policy.toml"]\n[policy]\non_error = "maybe"\n')
    with pytest.raises(ConfigError) as caught:
        load(main)
    assert {(Path(fault.file).name, fault.key) for fault in caught.value.faults} == {
        ("policy.toml", "policy.strategies.quiet.daily_max"),
        ("policy.toml", "policy.blacklist.file"),
        ("smsproxy.toml", "policy.on_error"),
    }


def test_a_file_that_cannot_be_read_does_not_hide_other_faults_nor_make_new_ones(tmp_path: Path) -> None:
    text = 'include = ["links.toml"]\n[server]\ndrain_s = -1\n[pools.9]\nmembers = [{ link = 100 }]\n'
    assert faults_of(write(tmp_path, text)) == [
        f"{tmp_path / 'links.toml'}: no such file (named by include in {tmp_path / 'smsproxy.toml'})",
        "server.drain_s: must be 0 to 600, got -1",
    ]


def test_a_byte_order_mark_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeff[limits]\n")
    assert faults_of(path) == ["line 1: begins with a byte order mark: save it as UTF-8 without one"]


def test_policy_values_in_two_files_are_a_fault(tmp_path: Path) -> None:
    write(tmp_path, '[policy]\nengine = "embedded"\n', "policy.toml")
    main = write(tmp_path, 'include = ["policy.toml"]\n[policy]\ntimezone = "UTC"\n')
    with pytest.raises(ConfigError, match=r"policy\.toml: policy: the table is also in .*smsproxy\.toml"):
        load(main)


@pytest.mark.parametrize("name", ["a\0b", "../x/\0"])
def test_an_include_with_a_zero_in_its_name_is_a_fault(tmp_path: Path, name: str) -> None:
    escaped = name.replace("\0", "\\u0000")
    assert faults_of(write(tmp_path, f'include = ["{escaped}"]')) == ["include: a path has no NUL in it"]


def test_more_than_a_hundred_files_are_a_fault(tmp_path: Path) -> None:
    for number in range(120):
        write(tmp_path, "", f"{number}.toml")
    names = ", ".join(f'"{number}.toml"' for number in range(120))
    assert "include: more than 100 files" in faults_of(write(tmp_path, f"include = [{names}]"))


def test_a_file_that_is_not_text_is_a_fault_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "smsproxy.toml"
    path.write_bytes(b"[server]\n# \xff\n")
    assert faults_of(path) == ["line 2: is not UTF-8 text"]


def test_a_syntax_error_at_the_end_has_the_last_line(tmp_path: Path) -> None:
    (fault,) = faults_of(write(tmp_path, "[server]\ntrusted_proxies = ["))
    assert fault.startswith("line 2: TOML syntax: ")


def test_brackets_without_end_are_a_fault_and_not_a_crash(tmp_path: Path) -> None:
    assert len(faults_of(write(tmp_path, "a = " + "[" * 100_000))) == 1


def test_a_directory_is_not_a_configuration(tmp_path: Path) -> None:
    assert faults_of(tmp_path) == ["cannot be read: Is a directory"]


def test_a_file_without_end_is_a_fault() -> None:
    assert faults_of(Path("/dev/zero")) == ["has more than 16777216 octets"]


def test_the_explicit_path_wins_then_the_environment_then_the_first_that_exists(tmp_path: Path) -> None:
    there = write(tmp_path, "")
    searched = (tmp_path / "missing.toml", there)
    assert default_path(Path("x"), {"SMSPROXY_CONFIG": "y"}, searched) == Path("x")
    assert default_path(None, {"SMSPROXY_CONFIG": "y"}, searched) == Path("y")
    assert default_path(None, {"SMSPROXY_CONFIG": ""}, searched) == there


def test_without_any_configuration_the_error_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither .*a\.toml nor .*b\.toml exists; name one with --config"):
        default_path(None, {}, (tmp_path / "a.toml", tmp_path / "b.toml"))


def test_two_loads_of_one_file_are_equal_section_by_section(tmp_path: Path) -> None:
    path = write(tmp_path, f'[apps.1]\nsecret = "{SECRET}"\n[links.1]\nsystem_id = "a"\npassword = "b"\n')
    one, two = load(path), load(path)
    assert one == two
    path.write_text(path.read_text().replace(SECRET, SECRET + "!"))
    three = load(path)
    assert one.apps != three.apps
    assert one.links == three.links


def test_settings_can_be_built_without_a_file() -> None:
    settings = Settings(links={1: LinkSettings(system_id="a", password=Secret("b"))})
    assert settings.links[1].account_name == "a@127.0.0.1:2775"
    assert Settings().store.url.kind == "sqlite"
