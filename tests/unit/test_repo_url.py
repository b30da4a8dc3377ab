import string
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.repo_url import DEFAULT_ALLOW, AllowEntry, RepoUrlError, parse_allow, parse_repo_url

DEFAULT = parse_allow(DEFAULT_ALLOW)
LOCAL = parse_allow("https://, git://127.0.0.1:9418/")
GITHUB = parse_allow("https://github.com/")


def refusal(text: str, allow: Sequence[AllowEntry] = DEFAULT) -> str:
    with pytest.raises(RepoUrlError) as caught:
        parse_repo_url(text, allow)
    return caught.value.code.removeprefix("repo_url.")


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("https://github.com/a/b", "https://github.com/a/b"),
        ("HTTPS://GITHUB.com/A/B.git", "https://github.com/A/B.git"),
        ("https://github.com./a/b/", "https://github.com/a/b"),
        ("https://github.com:443/a/b", "https://github.com/a/b"),
        ("https://github.com:/a/b", "https://github.com/a/b"),
        ("https://xn--bcher-kva.example/a%20b".replace("%20", "%C3%BC"), "https://xn--bcher-kva.example/a%C3%BCb"),
        ("https://git.example/~ann/a_b-c.d", "https://git.example/~ann/a_b-c.d"),
        ("https://8.8.8.8/a", "https://8.8.8.8/a"),
        ("https://[2606:4700:0:0::1111]/a", "https://[2606:4700::1111]/a"),
    ],
)
def test_equal_repositories_have_equal_texts(text: str, normalised: str):
    url = parse_repo_url(text, DEFAULT)
    assert str(url) == normalised
    assert parse_repo_url(str(url), DEFAULT) == url
    assert not url.trusted


@pytest.mark.parametrize(
    "text",
    [
        "file:///etc/passwd",
        "/etc",
        "./relative",
        "ext::sh -c id",
        "--upload-pack=id",
        "-oProxyCommand=id:x",
        "ssh://git@github.com/a/b",
        "ssh://-oProxyCommand=id/x",
        "git@github.com:a/b.git",
        "git://github.com/a/b",
        "http://github.com/a/b",
        "https:/github.com/a/b",
        " https://github.com/a/b",
    ],
)
def test_only_https_is_taken_by_default(text: str):
    assert refusal(text) == "scheme"


@pytest.mark.parametrize(
    "text", ["https://github.com@evil.test/a/b", "https://user:pw@github.com/a/b", "https://@github.com/a"]
)
def test_credentials_are_refused_and_not_repeated(text: str):
    with pytest.raises(RepoUrlError) as caught:
        parse_repo_url(text, DEFAULT)
    assert caught.value.code == "repo_url.credentials"
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "0", "0177.1", "0x7f.1", "0x7F.0.0.1", "2130706433", "127.1", "127.0.0.01", "1.2.3.4.5",
        "127.0.0.1.",
        "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "192.0.0.9", "192.0.2.1",
        "192.88.99.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "0.0.0.0",
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:8.8.8.8]", "[::127.0.0.1]", "[fd00::1]", "[fe80::1]",
        "[fec0::1]", "[ff0e::1]", "[64:ff9b::7f00:1]", "[64:ff9b::808:808]", "[64:ff9b:1::1]", "[2002:7f00:1::]",
        "[2002:808:808::]", "[2001:0:7f00:1::]", "[2001:db8::1]", "[3fff::1]", "[4000::1]", "[1.2.3.4]", "[:]",
        "localhost", "LOCALHOST", "localhost.", "localhost:5432", "a.localhost", "127.0.0.1:8443",
    ],
)  # fmt: skip
def test_no_address_within_a_network_is_taken_in_any_form(host: str):
    assert refusal(f"https://{host}/a/b") == "address"
    assert refusal(f"https://{host}/") == "address"


@pytest.mark.parametrize("port", ["22", "80", "8443", "0", "65536", "99999999"])
def test_another_port_is_refused(port: str):
    assert refusal(f"https://github.com:{port}/a/b") == "port"


@pytest.mark.parametrize(
    "sign",
    [
        "\n", "\r", "\t", "\0", "\x7f", "\x85", "\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\ud800",
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_refused_wherever_it_stands(sign: str):
    for text in (
        f"https://github.com/a/b{sign}--config=x",
        f"{sign}https://github.com/a",
        f"https://git{sign}hub.com/a",
    ):
        assert refusal(text) == "chars"


@pytest.mark.parametrize("encoded", ["%00", "%0a", "%0D", "%250a", "%E2%80%AE"])
def test_what_cannot_be_seen_is_refused_when_encoded_too(encoded: str):
    assert refusal(f"https://github.com/a{encoded}b") == "chars"


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "//a", "/a//b", "/a//", "/../../x", "/a/..", "/a/./b", "/a/%2e%2e/%2e%2e/x", "/a/.%2E/x",
        "/a%2f..%2fb",
        "/a/%252e%252e/x", "/a\\..\\b", "/a%5c..", "/a b", "/a%20b", "/a?b=c", "/a#b", "/a?",
    ],
)  # fmt: skip
def test_a_path_that_could_lead_elsewhere_is_refused(path: str):
    assert refusal(f"https://github.com{path}") == "path"


@pytest.mark.parametrize(
    "host",
    [
        "", "a..b", ".a", "-a.test", "a-.test", "a%2eb", "a b", "gi$hub.com", "a" * 64, "a.b..",
        "b\u00fccher.example", "\uff11\uff12\uff17.0.0.1", "\u24d6ithub.com",
    ],
)  # fmt: skip
def test_what_is_no_ascii_host_name_is_refused(host: str):
    assert refusal(f"https://{host}/a") == "host"


def test_a_host_in_another_script_is_refused_with_its_ascii_form():
    with pytest.raises(RepoUrlError, match=r"xn--bcher-kva\.example"):
        parse_repo_url("https://b\u00fccher.example/a", DEFAULT)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "\n", "https://[::1/a", "https://[fe80::1%25eth0]/a", "https://a:b/c",
        "https://github.com/" + "a" * 2000,
    ],
)  # fmt: skip
def test_what_is_no_url_at_all_is_a_syntax_error(text: str):
    assert refusal(text) == "syntax"


@pytest.mark.parametrize("host", ["github.com.evil.test", "evil.test", "notgithub.com", "www.github.com", "127.0.0.1"])
def test_where_the_operator_names_hosts_no_other_is_taken(host: str):
    assert refusal(f"https://{host}/a/b", GITHUB) == "host"


@pytest.mark.parametrize("text", ["https://github.com/a/b", "https://GitHub.com.:443/a/b"])
def test_a_named_host_is_trusted(text: str):
    assert parse_repo_url(text, GITHUB).trusted


def test_an_entry_lifts_the_rules_on_scheme_port_and_address_for_what_it_matches():
    url = parse_repo_url("git://127.0.0.1/repo.git", LOCAL)
    assert (url.trusted, url.is_this_machine, url.port) == (True, True, 9418)
    assert str(url) == "git://127.0.0.1/repo.git"
    other = parse_repo_url("http://LocalHost:3000/repo", parse_allow("http://localhost:3000"))
    assert (other.trusted, other.is_this_machine, str(other)) == (True, True, "http://localhost:3000/repo")
    assert not parse_repo_url("https://github.com/a", LOCAL).trusted


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("git://user@127.0.0.1/repo.git", "credentials"),
        ("git://127.0.0.1/a/../b", "path"),
        ("git://127.0.0.1/a/%2e%2e/b", "path"),
        ("git://127.0.0.1/", "path"),
        ("git://127.0.0.1/a\u202eb", "chars"),
        ("git://127.0.0.1/a%00b", "chars"),
        ("git://127.0.0.2/repo.git", "host"),
        ("git://2130706433/repo.git", "address"),
        ("git://127.0.0.1:1/repo.git", "host"),
        ("git://github.com/a/b", "host"),
        ("https://127.0.0.1/a", "address"),
    ],
)
def test_an_entry_lifts_nothing_else(text: str, code: str):
    assert refusal(text, LOCAL) == code


@pytest.mark.parametrize(
    ("path", "trusted"),
    [("/team", True), ("/team/a", True), ("/team2/a", False), ("/Team/a", False), ("/a/team", False)],
)
def test_an_entry_s_path_ends_where_a_part_of_the_path_ends(path: str, trusted: bool):
    allow = parse_allow("https:// https://git.example:8443/team/")
    if trusted:
        assert parse_repo_url(f"https://git.example:8443{path}", allow).trusted
    else:
        assert refusal(f"https://git.example:8443{path}", allow) == "port"


def test_entries_are_separated_by_commas_or_whitespace():
    assert parse_allow("https://,git://127.0.0.1:9418/") == parse_allow("  https://\n GIT://127.0.0.1 ")


@pytest.mark.parametrize(
    "entry",
    [
        "github.com", "ssh://host/", "file:///srv", "https:///a", "https://a/../b", "https://0x7f.1/",
        "https://a:b/",
    ],
)  # fmt: skip
def test_a_bad_entry_is_named(entry: str):
    with pytest.raises(ValueError, match="GIT_ALLOW") as caught:
        parse_allow(f"https://,{entry}")
    assert entry in str(caught.value)


@pytest.mark.parametrize("text", ["", " , ", "https://user:secret@github.com/"])
def test_no_entry_and_one_with_credentials_are_refused(text: str):
    with pytest.raises(ValueError, match="GIT_ALLOW") as caught:
        parse_allow(text)
    assert "secret" not in str(caught.value)


@given(st.text(alphabet=string.printable + "\u202e\u00fc\uff0e", max_size=60).map("https://{}".format))
def test_a_url_that_is_taken_is_its_own_normal_form(text: str):
    try:
        url = parse_repo_url(text, DEFAULT)
    except RepoUrlError:
        return
    assert parse_repo_url(str(url), DEFAULT) == url
