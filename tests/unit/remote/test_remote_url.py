"""URL forms: what each means, and the one sentence for what is none of them."""

from __future__ import annotations

import pytest

from smsproxy.remote.url import RemoteUrl, parse_url


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("redis://cache", RemoteUrl("server", hosts=(("cache", 6379),))),
        ("redis://127.0.0.1:6380/3", RemoteUrl("server", hosts=(("127.0.0.1", 6380),), db=3)),
        ("redis://[::1]:6380", RemoteUrl("server", hosts=(("::1", 6380),))),
        ("redis://[::1]", RemoteUrl("server", hosts=(("::1", 6379),))),
        (
            "rediss://me:p%40ss@cache/1?ca_file=/etc/ca.pem",
            RemoteUrl("server", True, (("cache", 6379),), "", "", 1, "me", "p@ss", "/etc/ca.pem"),
        ),
        ("unix:///run/redis.sock?db=2", RemoteUrl("unix", path="/run/redis.sock", db=2)),
        ("unix://:secret@/run/redis.sock", RemoteUrl("unix", path="/run/redis.sock", password="secret")),
        (
            "redis+sentinel://a,b:26380/main/4",
            RemoteUrl("sentinel", hosts=(("a", 26379), ("b", 26380)), service="main", db=4),
        ),
        ("redis+cluster://a:7000,b", RemoteUrl("cluster", hosts=(("a", 7000), ("b", 6379)))),
        ("rediss+cluster://a", RemoteUrl("cluster", True, (("a", 6379),))),
    ],
)
def test_a_url_means_what_it_says(text: str, meaning: RemoteUrl) -> None:
    assert parse_url(text) == meaning


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("http://cache", "must begin with"),
        ("cache:6379", "must begin with"),
        ("redis://", "names no host"),
        ("redis://a b", "names no host"),
        ("redis://:6379", "names no host"),
        ("redis://cache:0", "wrong port"),
        ("redis://cache:66000", "wrong port"),
        ("redis://cache:6e3", "wrong port"),
        ("redis://cache:9999999999", "wrong port"),
        ("redis://[::1", "is not a URL"),
        ("redis://cache/one", "database that is not a number"),
        ("redis://cache/1/2", "more behind the host"),
        ("redis://a,b", "several hosts"),
        ("redis://cache?sock=1", "unknown option"),
        ("redis://cache?ca_file=/ca.pem", "only the rediss forms"),
        ("redis://:a#b@cache", "'#'"),
        ("unix://", "names no socket"),
        ("unix://host/run/redis.sock", "names no socket"),
        ("redis+sentinel://a,b", "names no service"),
        ("redis+cluster://a/1", "one database only"),
        ("redis+cluster://a,,b", "names no host"),
    ],
)
def test_a_bad_url_is_refused_in_one_sentence(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as refusal:
        parse_url(text)
    assert "\n" not in str(refusal.value)


def test_a_password_is_in_no_text_of_the_url() -> None:
    url = parse_url("rediss+sentinel://me:hush@a,[::1]:1/main")
    assert "hush" not in f"{url} {url!r}"
    assert str(url) == "rediss+sentinel://a:26379,[::1]:1/main"
    assert str(parse_url("unix://:hush@/run/redis.sock")) == "unix:///run/redis.sock"
