"""Where something listens or is found: the three ways to write it, and everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.domain.endpoint import Endpoint, parse_endpoint, parse_target


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:44044", Endpoint("127.0.0.1", 44044)),
        ("localhost:0", Endpoint("localhost", 0)),
        ("[::1]:65535", Endpoint("::1", 65535)),
        ("sms.example.net:1", Endpoint("sms.example.net", 1)),
        ("unix:/run/smsproxy.sock", Endpoint(unix_path="/run/smsproxy.sock")),
    ],
)
def test_an_endpoint_is_host_and_port_or_a_socket(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text",
    ["", "44044", ":44044", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:٣", "::1:1", "[::1]",
     "[]:1", "a b:1", "unix:", "unix:run/x", "unix:/a\0b", "unix:/" + "x" * 107, "host:123456", "-a:1",
     "host:²"],
)  # fmt: skip
def test_anything_else_is_no_endpoint_and_none_to_dial(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|port|brackets|unix:|socket"):
        parse_endpoint(text)
    with pytest.raises(ValueError, match=r"^['\"]"):  # it names what was given
        parse_target(text)


@given(st.text(max_size=30))
def test_any_text_is_an_endpoint_or_a_value_error(text: str) -> None:
    try:
        endpoint = parse_endpoint(text)
    except ValueError:
        return
    assert bool(endpoint.unix_path) != bool(endpoint.host)


def test_what_is_dialled_has_a_port() -> None:
    assert parse_target("[::1]:1") == Endpoint("::1", 1)
    assert parse_target("unix:/run/x") == Endpoint(unix_path="/run/x")
    with pytest.raises(ValueError, match=r"'host:0': nobody can be reached on port 0"):
        parse_target("host:0")


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("127.0.0.1:1", True), ("[::1]:1", True), ("localhost:1", True), ("unix:/x", True), ("0.0.0.0:1", False),
     ("[::]:1", False), ("sms.example.net:1", False), ("10.0.0.1:1", False)],
)  # fmt: skip
def test_only_this_host_reaches_a_loopback_endpoint(text: str, loopback: bool) -> None:
    assert parse_endpoint(text).loopback is loopback
