"""URLs: no credential is ever shown, names survive signatures, and fingerprints tell rewrites."""

import os
import time
from pathlib import Path
from urllib.parse import quote

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import UsageError
from pipelines.io.listing import expand
from pipelines.io.urls import LISTED, fingerprint, fingerprints, redact, without_secrets

SIGNED = (
    "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Signature",
    "X-Amz-Security-Token", "x-goog-signature", "sig", "Signature", "token", "access_token",
    "key", "api_key", "apikey", "secret", "client_secret", "password", "credential", "se", "sp",
    "sv", "sr", "st", "spr", "skoid", "sktid", "Expires", "AWSAccessKeyId", "GoogleAccessId",
    "Policy", "Key-Pair-Id",
)  # fmt: skip
HARMLESS = ("versionId", "year", "page", "generation", "tokenizer", "keys", "x")
WORDS = st.text("abcXYZ019-_", min_size=1, max_size=8)
# What no one else's part of a URL holds, so that a trace of it is a leak.
SECRETS = st.text("QJ", min_size=12, max_size=20)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://KEY:SECRET@bucket/a.tar", "s3://bucket/a.tar"),
        ("s3://AKIAIOSFODNN7EXAMPLE:12/ab+/c=@bucket/a.tar", "s3://bucket/a.tar"),
        ("https://user:pass@host:8080/a?page=2", "https://host:8080/a?page=2"),
        ("https://ghp_token@host/a", "https://host/a"),
        ("https://h/a?page=2&sig=x&year=1", "https://h/a?page=2&year=1"),
        ("https://h/a?sig=x&st=y&year=1", "https://h/a?year=1"),
        ("https://h/a?sig=x", "https://h/a"),
        ("https://h/a?year=1&amp;sig=x&amp;page=2", "https://h/a?year=1&amp;page=2"),
        ("404, url='https://h/a?token=x': gone", "404, url='https://h/a': gone"),
        ("URL('https://h/a?token=x') and s3://k:s@b/c", "URL('https://h/a') and s3://b/c"),
        ('{"u":"https://h/a?sig=x","n":2}', '{"u":"https://h/a","n":2}'),
        ("simplecache::s3://k:s@b/a.tar", "simplecache::s3://b/a.tar"),
        ("zip://a.tar::https://h/z.zip?sig=x", "zip://a.tar::https://h/z.zip"),
        ("tar://a::https://h/z?sig=x::file:///b", "tar://a::https://h/z::file:///b"),
    ],
)
def test_credentials_go_and_the_rest_stays(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/a@b.tar",
        "https://host:8080/path@x",
        "abfss://container@account.dfs.core.windows.net/a.tar",
        "s3://arn:aws:s3:us-west-2:123456789012:accesspoint/name/a@b.tar",
        "https://h/a?tokenizer=bpe&keys=3&versionId=abc",
        "memory://bucket/a.tar, then mail a@b.example",
        "/data/a=b&c?d#e.tar",
    ],
)
def test_text_without_credentials_is_left_alone(text: str) -> None:
    assert redact(text) == text


@settings(max_examples=150)
@given(
    scheme=st.sampled_from(["s3", "https", "gs", "sftp", "simplecache::s3"]),
    user=st.one_of(st.none(), SECRETS, st.tuples(WORDS, SECRETS).map(":".join)),
    path=st.lists(WORDS, min_size=1, max_size=3).map("/".join),
    parameters=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(SIGNED), SECRETS),
            st.tuples(st.sampled_from(HARMLESS), WORDS),
        ),
        max_size=6,
    ),
    around=st.sampled_from(["{}", "cannot read '{}': gone", 'GET "{}" failed', "(see {} )"]),
)
def test_no_trace_of_a_secret_is_left_and_nothing_else_is_lost(
    scheme: str,
    user: str | None,
    path: str,
    parameters: list[tuple[str, str]],
    around: str,
) -> None:
    def url(user: str | None, parameters: list[tuple[str, str]]) -> str:
        query = "&".join(f"{name}={value}" for name, value in parameters)
        return f"{scheme}://{user + '@' if user else ''}host/{path}{'?' + query if query else ''}"

    harmless = [pair for pair in parameters if pair[0] in HARMLESS]
    assert redact(around.format(url(user, parameters))) == around.format(url(None, harmless))


@settings(max_examples=400)
@given(
    st.lists(
        st.sampled_from(
            [*"?&#=:/@'\" .", "://", "s3", "https://", "sig=", "token", "amp;", "AKIAAKIAAKIAAKIA",
             "8080", "::", "abfs", "password1", "**"]
        )
    ).map("".join),
    st.sampled_from([(), ("password1",), ("***token***",)]),
)  # fmt: skip
def test_redacting_twice_changes_nothing_more(text: str, secrets: tuple[str, ...]) -> None:
    once = redact(text, secrets)
    assert redact(once, secrets) == once


@pytest.mark.parametrize(
    "text",
    ["?sig=" * 20_000, "&token" * 20_000, "a" * 100_000, "://" + "a:" * 50_000, "a." * 50_000],
)
def test_hostile_text_takes_no_longer_than_its_length(text: str) -> None:
    start = time.process_time()
    redact(text)
    assert (
        time.process_time() - start < 2
    )  # 0.06 s measured; a quadratic pattern took half a minute


@settings(max_examples=100)
@given(secret=st.text("aB1/+=@&?", min_size=8, max_size=40))
def test_known_secrets_are_hidden_as_they_are_and_escaped(secret: str) -> None:
    for form in (secret, quote(secret), quote(secret, safe="")):
        assert redact(f"before {form} after", [secret]) == "before *** after"


def test_short_values_are_no_secrets() -> None:
    assert redact("a true story", ["true", "", "a"]) == "a true story"


def test_a_signed_url_has_one_name_on_all_days() -> None:
    def signed(day: int, key: str) -> str:
        return f"https://b.s3.amazonaws.com/{key}?X-Amz-Date={day}&X-Amz-Signature={day * 7:x}"

    names = {key: {without_secrets(signed(day, key)) for day in range(9)} for key in "ab"}
    assert names == {key: {f"https://b.s3.amazonaws.com/{key}"} for key in "ab"}
    assert without_secrets("/data/it's?sig=1&token=2.tar") == "/data/it's?sig=1&token=2.tar"


@pytest.mark.parametrize("place", ["local", "file", "memory"])
def test_a_fingerprint_changes_when_and_only_when_the_file_is_written(
    place: str, tmp_path: Path
) -> None:
    folder = {"local": str(tmp_path), "file": f"file://{tmp_path}", "memory": "memory://print"}
    url = f"{folder[place]}/a.tar"
    seen = []
    for content in (b"one", b"two", b"three"):
        with fsspec.open(url, "wb") as file:
            file.write(content)
        seen.append(fingerprint(url))
        assert fingerprint(url) == seen[-1]
    assert [found["size"] for found in seen] == [3, 3, 5]
    assert len({found["version"] for found in seen}) == 3


def test_local_fingerprints_are_size_and_nanoseconds(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"12345")
    os.utime(path, ns=(1, 1_234_567_890_123_456_789))
    assert fingerprint(str(path)) == {"size": 5, "version": "1234567890123456789"}


@pytest.mark.parametrize("place", ["local", "memory"])
@pytest.mark.parametrize("count", [1, LISTED + 3])
def test_many_fingerprints_are_those_of_each(place: str, count: int, tmp_path: Path) -> None:
    folder = str(tmp_path) if place == "local" else f"memory://many{count}"
    urls = [f"{folder}/{i}/{j}.tar" for i in "ab" for j in range(count)]
    for url in urls:
        with fsspec.open(url, "wb", auto_mkdir=True) as file:
            file.write(url.encode())
    gone = [f"{folder}/a/gone.tar", f"{folder}/none/gone.tar", f"{folder}/a"]
    found = fingerprints([*urls, *gone])
    assert list(found) == [*urls, *gone]
    assert found == {url: fingerprint(url) for url in urls} | dict.fromkeys(gone)
    for url in gone:
        with pytest.raises(FileNotFoundError, match="there is no file"):
            fingerprint(url)


@pytest.mark.parametrize("place", ["local", "memory"])
def test_missing_shards_are_counted_and_the_first_named(place: str, tmp_path: Path) -> None:
    folder = str(tmp_path) if place == "local" else "memory://missing"
    for i in (0, 3, 4):
        with fsspec.open(f"{folder}/{i}.tar", "wb") as file:
            file.write(b"")
    named = [f"{folder}/{i}.tar" for i in range(5)]
    with pytest.raises(UsageError, match=f"2 of 5 shards do not exist, first {named[1]};"):
        expand(f"{folder}/{{0..4}}.tar")
    with pytest.raises(UsageError, match=f"shard {named[1]} does not exist"):
        expand(named[1])
    assert expand(f"{folder}/{{0..4}}.tar", must_exist=False) == named
    assert expand(f"{folder}/{{0,3,4}}.tar") == [named[i] for i in (0, 3, 4)]


def test_what_is_no_shard_is_refused_even_where_shards_may_be_missing(tmp_path: Path) -> None:
    for pattern, says in (
        (str(tmp_path), "is a folder"),
        (f"{tmp_path}/*.tar", "no shard matches"),
        ("nosuch://bucket/a.tar", "cannot be listed"),
    ):
        with pytest.raises(UsageError, match=says):
            expand(pattern, must_exist=False)


def test_no_refusal_shows_a_secret() -> None:
    for pattern in (
        "nosuch://user:QJQJQJQJ@bucket/a.tar",
        "nosuch://user:QJQJQJQJ@bucket/*.tar",
        "@nosuch://user:QJQJQJQJ@bucket/list",
        "memory://user:QJQJQJQJ@bucket/a.tar",
        "memory://user:QJQJQJQJ@bucket/*.tar",
        "memory://user:QJQJQJQJ@bucket/{a,b}.tar",
        "memory://user:QJQJQJQJ@bucket/{a,b.tar",
        "memory://bucket/a.tar?token=QJQJQJQJ,memory://bucket/a.tar?token=JQJQJQJQ",
    ):
        with pytest.raises(UsageError) as refusal:
            expand(pattern)
        assert "QJQ" not in str(refusal.value)


def test_one_shard_with_two_signatures_is_refused() -> None:
    both = "https://h.example/a.tar?sig=1,https://h.example/a.tar?sig=2"
    with pytest.raises(UsageError, match=r"https://h.example/a.tar is given twice"):
        expand(both)
