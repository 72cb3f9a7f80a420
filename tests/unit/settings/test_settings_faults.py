"""Faults and warnings that need more than one key, and that none hides another."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smsproxy.settings import ConfigError, Fault, load

APP = '[apps.1]\nsecret = "a-secret-of-more-than-thirty-two-octets"\n'
LINK = '[links.100]\nhost = "smsc.example"\nsystem_id = "a"\npassword = "b"\n'


def write(directory: Path, text: str) -> Path:
    path = directory / "smsproxy.toml"
    path.write_text(text)
    return path


def faults_of(directory: Path, text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load(write(directory, text), environ={})
    return {fault.key: fault.message for fault in caught.value.faults}


def warnings_of(directory: Path, text: str) -> list[str]:
    loaded = load(write(directory, text), environ={})
    return [f"{warning.key}: {warning.message}" for warning in loaded.warnings]


def test_every_fault_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    text = """
        serve = 1
        [server]
        listen = "localhost"
        stream_windw = 5
        idle_s = "300"
        [apps.1]
        secret = "short"
        esmes = [100, "x", 0, 7]
        scopes = ["send", "admin"]
        [apps.01]
        secret = "a-secret-of-more-than-thirty-two-octets"
        [links.100]
        port = 0
        window = 10_001
        password = "nine chars"
        system_type = "far too long for it"
        tlvs = { 0x1400 = 1.5, zz = 1 }
        [pools.100]
        members = [{ link = 100, weight = 0 }, { link = 5 }, 7, { links = 100 }]
        [policy]
        engine = "redis"
        [policy.strategies.quiet]
        counts_as = "quiet"
        mode = 1
        [store]
        url = 5
    """
    assert set(faults_of(tmp_path, text)) == {
        "serve", "server.listen", "server.stream_windw", "server.idle_s", "apps.1.secret", "apps.1.esmes.1",
        "apps.1.esmes.2", "apps.1.scopes.1", "apps.01", "links.100.port", "links.100.window",
        "links.100.password", "links.100.system_type", "links.100.system_id", "links.100.tlvs.0x1400",
        "links.100.tlvs.zz", "pools.100",
        "pools.100.members.0.weight", "pools.100.members.1.link", "pools.100.members.2",
        "pools.100.members.3.links", "pools.100.members.2.link", "policy.engine", "store.url",
        "policy.strategies.quiet.counts_as", "policy.strategies.quiet.mode",
    }  # fmt: skip


def test_a_fault_is_one_line_whatever_is_in_the_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, '[server]\n"a\\nb: c" = 1\n'))
    (fault,) = caught.value.faults
    assert str(fault).endswith('smsproxy.toml: server."a\\nb: c": unknown key')


def test_unknown_tables_are_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    names = [f"made_up_{number}" for number in (7, 3, 9, 1, 8, 2)]
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, "\n".join(f"{name} = 1" for name in names)))
    assert [fault.key for fault in caught.value.faults] == names


def test_a_fault_without_a_key_is_file_and_message() -> None:
    assert str(Fault("a.toml", "", "no such file")) == "a.toml: no such file"


def test_a_text_at_fault_is_never_shown(tmp_path: Path) -> None:
    text = '[apps.1]\nsecret = ["planted-secret"]\n[links.1]\nsystem_id = "a"\npassword = "planted-secret"\n'
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1979-05-27", "a date or time"),
        ("[1]", "an array"),
        ("{ a = 1 }", "a table"),
        ("1.5", "a number with decimals"),
        ("true", "true or false"),
        ("'1'", "text"),
    ],
)
def test_a_wrong_type_is_named_in_words(tmp_path: Path, value: str, kind: str) -> None:
    assert faults_of(tmp_path, f"[text]\nmax_segments = {value}\n") == {
        "text.max_segments": f"must be an integer, not {kind}"
    }


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("apps = 1\n", "apps"),
        ("links = []\n", "links"),
        ("[links]\n100 = 5\n", "links.100"),
        ("[policy]\nstrategies = 1\n", "policy.strategies"),
        ("[policy.strategies]\ncp1 = true\n", "policy.strategies.cp1"),
        ("[policy]\nblacklist = true\n", "policy.blacklist"),
        ("[pools.5]\nmembers = { link = 1 }\n", "pools.5.members"),
        (LINK + "tlvs = 5\n", "links.100.tlvs"),
    ],
)
def test_a_value_where_a_table_belongs_is_a_fault(tmp_path: Path, text: str, key: str) -> None:
    assert "must be a" in faults_of(tmp_path, text)[key]


def test_too_many_entries_are_a_fault(tmp_path: Path) -> None:
    tlvs = ", ".join(f"0x14{number:02d} = 1" for number in range(17))
    assert faults_of(tmp_path, LINK + f"tlvs = {{ {tlvs} }}\n") == {
        "links.100.tlvs": "has at most 16 entries, this one has 17"
    }


@pytest.mark.parametrize("name", ['""', '"é"', '"a\\tb"', '"' + "x" * 65 + '"'])
def test_a_strategy_has_a_plain_name(tmp_path: Path, name: str) -> None:
    (message,) = faults_of(tmp_path, f"[policy.strategies.{name}]\nblacklist = true\n").values()
    assert message.startswith("a strategy's name has 1 to 64 printable ASCII characters")


def test_an_operators_strategy_replaces_a_shipped_one_whole(tmp_path: Path) -> None:
    cp1 = load(write(tmp_path, "[policy.strategies.cp1]\ndaily_max = 5\n")).policy.strategies["cp1"]
    assert (cp1.daily_max, cp1.weekly_max, cp1.blacklist) == (5, 0, False)


@pytest.mark.parametrize(
    ("text", "key", "part"),
    [
        ('[policy]\nengine = "http"\n', "policy.url", "policy service's URL"),
        ('[policy]\nurl = "http://"\n', "policy.url", "names no host"),
        ('[policy]\nurl = "http://a:b"\n', "policy.url", "is not a URL"),
        ('[limits]\nredis_url = "http://a"\n', "limits.redis_url", "must begin with redis://, rediss://, "),
        ('[server]\ntls_client_ca_file = "ca"\n', "server.tls_client_ca_file", "need tls_cert_file"),
        ('[server]\ntrusted_proxies = ["10.0.0.1/8"]\n', "server.trusted_proxies.0", "10.0.0.0/24"),
        (LINK + 'tls_cert_file = "x"\n', "links.100.tls_key_file", "given together"),
        (LINK + 'tls_key_file = "x"\n', "links.100.tls_cert_file", "given together"),
        ('[links.100]\nsystem_id = "a"\nhost = "a b"\n', "links.100.host", "host name"),
        (LINK + 'account = "a\\nb"\n', "links.100.account", "printable"),
        (LINK + 'password_file = 5\n', "links.100.password_file", "must be text"),
        (LINK + 'tls_ca_file = "a\\u0000"\n', "links.100.tls_ca_file", "no NUL"),
        (APP + 'previous_secret = "short"\n', "apps.1.previous_secret", "at least 32 octets"),
        (APP + 'public_key_file = "x"\n', "apps.1.secret", "secrets or a public key, not both"),
        (APP + 'name = "' + "x" * 65 + '"\n', "apps.1.name", "at most 64 characters"),
        ('[apps.1]\nsecret = 5\n', "apps.1.secret", "must be text"),
        (APP + 'senders = [""]\n', "apps.1.senders.0", "must not be empty"),
    ],
)  # fmt: skip
def test_the_rule_is_in_the_fault(tmp_path: Path, text: str, key: str, part: str) -> None:
    assert part in faults_of(tmp_path, text)[key]


def test_a_password_with_a_zero_octet_is_refused(tmp_path: Path) -> None:
    text = '[links.1]\nsystem_id = "a"\npassword = "a\\u0000b"\n'
    assert faults_of(tmp_path, text) == {"links.1.password": "an SMPP password has no zero octet in it"}


def test_a_long_password_is_sent_whole_where_it_is_allowed(tmp_path: Path) -> None:
    text = '[links.1]\nsystem_id = "a"\nallow_long_password = true\npassword = "twelve chars"\n'
    assert load(write(tmp_path, text)).links[1].password.octets() == b"twelve chars"
    longer = text.replace("twelve chars", "x" * 65)
    assert "at most 64 octets" in faults_of(tmp_path, longer)["links.1.password"]


def test_several_instances_without_a_shared_store_are_told_what_they_lose(tmp_path: Path) -> None:
    told = " ".join(warnings_of(tmp_path, APP + LINK + "[limits]\ninstances = 4\n"))
    for promise in (
        "a receipt that reaches another instance is lost",
        "submitted again",
        "SmsInfo",
        "share of a",
    ):
        assert promise in told


SHARED = APP + LINK + '[store]\nurl = "aerospike://a/sms"\n[server]\nreuse_port = true\n'


def test_instances_on_one_port_may_share_an_aerospike_store_and_need_names(tmp_path: Path) -> None:
    told = [line for line in warnings_of(tmp_path, SHARED) if line.startswith(("server.", "policy."))]
    assert [line.partition(":")[0] for line in told] == ["server.instance", "policy.path"]
    assert "a name each" in told[0]
    named = SHARED + 'instance = "a"\n[policy]\npath = "/var/lib/smsproxy/policy.db"\n'
    told = [line for line in warnings_of(tmp_path, named) if line.startswith(("server.", "policy."))]
    assert told == []


def test_instances_on_an_aerospike_store_lose_no_receipts(tmp_path: Path) -> None:
    store = '[store]\nurl = "aerospike://a/sms"\n[limits]\ninstances = 4\n'
    assert "is not shared" not in " ".join(warnings_of(tmp_path, APP + LINK + store))


def test_one_instance_is_told_nothing(tmp_path: Path) -> None:
    keys = [warning.partition(":")[0] for warning in warnings_of(tmp_path, APP + LINK)]
    assert keys == ["apps.1.secret", "links.100.password"]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (APP, "apps.1.secret: stands in the file: for development only, else secret_file"),
        (LINK, "links.100.password: stands in the file: for development only, else password_file"),
        ("", "apps: there is no app: every call is refused"),
        ("", "links: there is no link: nothing can be sent"),
        (
            '[links.1]\nsystem_id = "a"\n',
            "links.1.password: is not given: the link binds with an empty password",
        ),
        ('[links.1]\nsystem_id = "a"\n', "links.1.host: is not given: the link connects to 127.0.0.1"),
        (LINK + 'tls_server_name = "x"\n', "links.100.tls: is false although tls_* keys are set"),
        ('[store]\nurl = "memory:"\n', "store.url: memory: forgets every record"),
        ("[store]\nretention_s = 60\n", "store.receipt_timeout_s: is longer than retention_s"),
        ('[server]\nlisten = "0.0.0.0:1"\n', "server.listen: reachable from other hosts without TLS"),
        ('[limits]\nredis_url = "redis://a"\n', "limits.instances: is 1: while Redis is away"),
        ('[policy.blacklist]\nfiles = ["no.csv"]\n', "policy.blacklist.files.0: there is no file"),
        (
            LINK + "enabled = false\n[pools.1]\nmembers = [{ link = 100 }]\n",
            "pools.1.members: every member is dis",
        ),
    ],
)
def test_what_loads_but_is_worth_a_look_is_a_warning(tmp_path: Path, text: str, warning: str) -> None:
    assert any(told.startswith(warning) for told in warnings_of(tmp_path, text))


def test_an_empty_password_that_is_written_down_is_meant(tmp_path: Path) -> None:
    told = warnings_of(tmp_path, '[links.1]\nhost = "smsc.example"\nsystem_id = "a"\npassword = ""\n' + APP)
    assert [warning.partition(":")[0] for warning in told] == ["apps.1.secret"]


def test_the_default_blacklist_file_may_be_absent(tmp_path: Path) -> None:
    assert not any("blacklist" in warning for warning in warnings_of(tmp_path, ""))
    assert load(write(tmp_path, "")).policy.blacklist.files == (str(tmp_path / "blacklist.csv"),)


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + "".join(f"\\U{ord(char):08x}" for char in value) + '"'
        case float() if math.isinf(value) or math.isnan(value):
            return "inf"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{_toml(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
        case _:
            return str(value)


_KEYS = st.sampled_from(
    ["server", "listen", "apps", "1", "100", "links", "pools", "members", "link", "weight", "policy", "cp1",
     "strategies", "counts_as", "blacklist", "files", "store", "url", "tlvs", "0x1400", "secret", "esmes",
     "secret_file", "password", "system_id", "timezone", "limits", "instances", "public_key", "algorithm",
     "include", "host"]
)  # fmt: skip
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_VALUES = st.recursive(
    st.integers() | st.floats() | st.booleans() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | _TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(_KEYS, st.dictionaries(_KEYS, _VALUES, max_size=4) | _VALUES, max_size=4))
def test_any_toml_is_settings_or_a_configuration_error(tmp_path: Path, tables: dict[str, object]) -> None:
    text = "\n".join(f"{_toml(key)} = {_toml(value)}" for key, value in tables.items())
    try:
        loaded = load(write(tmp_path, text), environ={})
    except ConfigError as error:
        lines = [str(fault) for fault in error.faults]
    else:
        lines = [str(warning) for warning in loaded.warnings]  # no app or no link: there is always one
    assert lines
    assert not any("\n" in line for line in lines)


def test_links_of_one_account_that_read_ids_by_different_rules_are_told(tmp_path: Path) -> None:
    link = '[links.{}]\nsystem_id = "a"\npassword = "b"\nreceipt_id = "{}"\naccount = "{}"\n'
    told = warnings_of(tmp_path, APP + link.format(1, "hex", "x") + link.format(2, "raw", "x"))
    assert "links.2.receipt_id: is raw, and hex on link 1 of the same account: a receipt" in " ".join(told)
    fine = link.format(1, "hex", "x") + link.format(2, "hex", "x") + link.format(3, "raw", "y")
    assert not any("receipt_id" in warning for warning in warnings_of(tmp_path, APP + fine))
