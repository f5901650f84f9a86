from pathlib import Path

import pytest
from tega.address import Address, Server, tega_id
from tega.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://127.0.0.1:8739", "http://127.0.0.1:8739"),
        ("WS://router/", "http://router:8739"),
        ("router:80", "http://router:80"),
        ("http://[::1]", "http://[::1]:8739"),
        ("[fe80::1]:1", "http://[fe80::1]:1"),
        ("unix:/var/run/tega.sock", "unix:/var/run/tega.sock"),
    ],
)
def test_an_address_reads_back_from_what_it_prints(text: str, shown: str) -> None:
    assert str(Address.parse(text)) == shown
    assert Address.parse(shown) == Address.parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "wanted"),
        ("unix:", "wanted"),
        ("https://a", "TLS"),
        ("wss://a", "TLS"),
        ("ftp://a", "wanted"),
        ("::1", "brackets"),
        ("a:0", "1 to 65535"),
        ("a:70000", "1 to 65535"),
        ("a:x", "1 to 65535"),
        ("http://a/b", "wanted"),
        ("http://me:secret@host", "wanted"),
        ("[::1", "wanted|brackets"),
        ("[::1]x", "wanted"),
    ],
)
def test_a_text_that_names_no_server_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why) as told:
        Address.parse(text)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("unix:/s", True),
        ("127.0.0.1", True),
        ("127.9.9.9:1", True),
        ("[::1]", True),
        ("[::ffff:127.0.0.1]", True),
        ("LocalHost:1", True),
        ("localhost.evil.example", False),
        ("10.0.0.1", False),
        ("[fd00::1]", False),
        ("router", False),
    ],
)
def test_loopback_and_the_local_socket_stay_here(text: str, stays: bool) -> None:
    assert Address.parse(text).stays_here == stays


def test_token_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEGA_TOKEN", raising=False)
    with pytest.raises(BadRequest, match="WireGuard.*insecure_link=True"):
        Server.of("http://10.0.0.1", "s3cret", None, False)
    assert Server.of("http://10.0.0.1", "s3cret", None, True).headers() == {"Authorization": "Bearer s3cret"}
    assert Server.of("http://127.0.0.1", "s3cret", None, False).bearer() == "s3cret"
    assert Server.of("http://10.0.0.1", None, None, False).headers() == {}
    monkeypatch.setenv("TEGA_TOKEN", "s3cret")
    with pytest.raises(BadRequest, match="WireGuard"):
        Server.of("http://10.0.0.1", None, None, False)


def test_environment_names_the_server_and_the_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEGA_URL", "http://router:1")
    monkeypatch.setenv("TEGA_TOKEN", " abc\n")
    server = Server.of(None, None, None, True)
    assert (str(server.address), server.bearer()) == ("http://router:1", "abc")
    assert "abc" not in repr(server)
    assert str(Server.of("http://other:2", None, None, True).address) == "http://other:2"
    file = tmp_path / "token"
    file.write_text("first\n")
    server = Server.of("router", None, str(file), True)
    file.write_text("second\n")
    assert server.bearer() == "second", "a file is read again for each link"
    with pytest.raises(BadRequest, match="one of them"):
        Server.of("router", "a", str(file), True)
    with pytest.raises(BadRequest, match="No such file"):
        Server.of("router", None, str(tmp_path / "none"), True)


@pytest.mark.parametrize("bad", ["", " ", "a b", "a\nb", "a\x7f", "é", "x" * 1025])
def test_a_token_is_one_word_and_is_never_shown(bad: str) -> None:
    with pytest.raises(BadRequest) as told:
        Server.of("127.0.0.1", bad, None, False)
    assert not bad.strip() or bad not in str(told.value)


def test_an_id_is_drawn_where_none_is_wanted() -> None:
    assert tega_id("r-1_x") == "r-1_x"
    assert tega_id(None) != tega_id(None)
    for bad in ("", "a.b", "a b", "ä"):
        with pytest.raises(BadRequest, match="tega ID"):
            tega_id(bad)
