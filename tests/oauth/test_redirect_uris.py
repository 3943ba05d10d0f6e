"""A01, A02, A03: which redirect URIs may be registered, and which requests name one that is."""

from __future__ import annotations

import pytest

from identity.oauth.redirect_uris import is_registered, origin_of, problem_with

CALLBACK = "https://app.example/cb"


@pytest.mark.parametrize(
    "uri",
    [
        CALLBACK,
        "https://app.example",
        "https://app.example:8443/cb?tenant=1&x=%20y",
        "https://xn--bcher-kva.example/cb",
        "https://app.example/%7Eme/cb",
        "http://127.0.0.1/cb",
        "http://127.0.0.1:8001/cb",
        "http://[::1]:9/cb",
        "http://localhost:3000/cb",
        "com.example.app:/signed-in",
    ],
)
def test_a03_what_may_be_registered(uri: str) -> None:
    assert problem_with(uri) == ""


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("", "characters"),
        ("/cb", "neither https"),
        ("app.example/cb", "neither https"),
        ("//app.example/cb", "neither https"),
        ("https:/app.example/cb", "neither https"),
        ("HTTPS://app.example/cb", "neither https"),
        (CALLBACK + "#", "fragment"),
        (CALLBACK + "#here", "fragment"),
        ("http://app.example/cb", "not to this machine"),
        ("http://localhost.evil/cb", "not to this machine"),
        ("http://127.0.0.1.evil/cb", "not to this machine"),
        ("http://localhost@evil/cb", "plain host name"),
        ("https://a@b@evil/cb", "plain host name"),
        ("https://user:secret@app.example/cb", "plain host name"),
        ("https://app.example./cb", "plain host name"),
        ("https://App.example/cb", "plain host name"),
        ("https://-app.example/cb", "plain host name"),
        ("https:///cb", "plain host name"),
        ("https://app.example:99999/cb", "malformed"),
        ("https://app.example:x/cb", "malformed"),
        ("https://[::1/cb", "malformed"),
        ("https://b\u00fccher.example/cb", "characters"),
        ("https://app.ex\u0430mple/cb", "characters"),
        ("https://app.example\\@evil/cb", "characters"),
        ("https://app.example/cb\r\nX: y", "characters"),
        ("https://app.example/\tcb", "characters"),
        ("https://app.example/ cb", "characters"),
        ("https://app.example/*", ""),
        ("https://app.example/cb/../evil", "`.` or `..`"),
        ("https://app.example/cb/..;/evil", "`.` or `..`"),
        ("https://app.example/./cb", "`.` or `..`"),
        ("https://app.example/cb/%2e%2e/evil", "hides"),
        ("https://app.example/cb/..%2Fevil", "hides"),
        ("https://app.example/%252f", "hides"),
        ("https://app.example/%5cevil", "hides"),
        ("https://app.example/%00", "hides"),
        ("https://app.example/%0d%0a", "hides"),
        ("https://app.example/%zz", "hides"),
        ("javascript:alert(1)", "neither https"),
        ("javascript://app.example/%0aalert(1)", "hides"),
        ("data:text/html,x", "neither https"),
        ("myapp:/cb", "neither https"),
        ("com.example.app://evil/cb", "neither https"),
        ("com.example.app:cb", "neither https"),
        ("urn:ietf:wg:oauth:2.0:oob", "neither https"),
        ("https://app.example/" + "a" * 2048, "longer"),
    ],
)
def test_a02_what_may_not_be_registered(uri: str, words: str) -> None:
    problem = problem_with(uri)
    assert words in problem
    assert bool(problem) is bool(words)


@pytest.mark.parametrize(
    "uri",
    [
        CALLBACK + "/",
        CALLBACK + "/evil",
        CALLBACK + "?x=1",
        CALLBACK + "?",
        CALLBACK + "#",
        CALLBACK + "x",
        CALLBACK + "/../cb",
        CALLBACK + "/..;/evil",
        CALLBACK + "/..%2F..%2Fevil",
        CALLBACK + "%2f",
        CALLBACK + "\n",
        CALLBACK + " ",
        " " + CALLBACK,
        "https://app.example:443/cb",
        "https://app.example/CB",
        "https://APP.example/cb",
        "https://app.example./cb",
        "https://app.example.evil.com/cb",
        "https://app.example@evil.com/cb",
        "https://app.exampleevil.com/cb",
        "https://fooapp.example/cb",
        "https://appaexample/cb",
        "http://app.example/cb",
        "//app.example/cb",
        "https:app.example/cb",
        "",
    ],
)
def test_a01_only_the_very_uri_is_the_one_that_was_registered(uri: str) -> None:
    assert is_registered(CALLBACK, [CALLBACK])
    assert not is_registered(uri, [CALLBACK])


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a01_an_app_takes_any_port_of_this_machine(host: str) -> None:
    for registered in (f"http://{host}/cb", f"http://{host}:1/cb"):
        assert is_registered(f"http://{host}/cb", [registered])
        assert is_registered(f"http://{host}:54321/cb", [registered])
        for wrong in (
            f"http://{host}:54321/other",
            f"http://{host}:54321/cb?x",
            f"https://{host}:54321/cb",
            f"http://{host}:123456/cb",
            f"http://{host}:54321@evil/cb",
            f"http://{host}:@evil/cb",
            f"http://{host}.evil:54321/cb",
            f"http://{host}:54321\n/cb",
            f"http://{host}:/cb",
        ):
            assert not is_registered(wrong, [registered])


def test_a01_a_name_for_this_machine_has_the_port_that_was_registered() -> None:
    """RFC 8252 section 8.3: it may resolve to another machine."""
    assert is_registered("http://localhost:3000/cb", ["http://localhost:3000/cb"])
    assert not is_registered("http://localhost:3001/cb", ["http://localhost:3000/cb"])
    assert not is_registered("http://127.0.0.1:3000/cb", ["http://localhost:3000/cb"])


@pytest.mark.parametrize(
    ("uri", "origin"),
    [
        ("https://app.example:8443/cb?x=/", "https://app.example:8443"),
        ("http://[::1]:9/cb", "http://[::1]:9"),
        ("com.example.app:/cb", "com.example.app:"),
    ],
)
def test_the_origin_of_a_redirect(uri: str, origin: str) -> None:
    assert origin_of(uri) == origin
