import math

import pytest
from tega import errors, frames
from tega.errors import BadRequest


def test_a_frame_that_a_server_sends_is_read() -> None:
    for text, frame in [
        ("SESSIONACK g", frames.Ack("g")),
        ('NOTIFY\n[{"ope":"PUT"}]', frames.Notify([{"ope": "PUT"}])),
        ('MESSAGE a["b%20c"] x\n{"message":1}', frames.Heard('a["b%20c"]', "x", {"message": 1})),
        ('REQUEST 7 RPC alice fn.f\n{"args":[]}', frames.Asked(7, "RPC", "alice", "fn.f", {"args": []})),
        ("REQUEST 7 RPC None fn.f", frames.Asked(7, "RPC", None, "fn.f", {})),
        ('RESPONSE 4294967295 GET g\n{"value":1}', frames.Answer(0xFFFF_FFFF, {"value": 1})),
        ('ERROR\n{"error":{}}', frames.Refused({"error": {}})),
    ]:
        assert frames.read(text) == frame


@pytest.mark.parametrize(
    "bad", ["", "HELLO", "SESSIONACK", "RESPONSE x GET g\n1", "RESPONSE 1 GET g", "NOTIFY\n[", "REQUEST 1"]
)
def test_what_isnt_of_the_grammar_is_refused(bad: str) -> None:
    with pytest.raises(frames.BadFrame):
        frames.read(bad)


def test_what_is_sent_is_of_the_grammar() -> None:
    assert frames.session("a-1") == "SESSION a-1 local 2"
    assert frames.request(1, "GET", "a.b", "{}") == "REQUEST 1 GET - a.b\n{}"
    assert frames.response(2, "RPC", "me", "{}") == "RESPONSE 2 RPC me\n{}"
    assert frames.publish("a", "1") == 'PUBLISH a\n{"message":1}'
    assert frames.subscribe("a", False) == "SUBSCRIBE a global False"
    assert frames.unsubscribe("a.*", True) == "UNSUBSCRIBE a.* True"
    assert frames.regex_word("a b%20%41") == "a%20b%2520%2541"


@pytest.mark.parametrize("bad", [math.nan, math.inf, object(), {"a": {1, 2}}, "\ud800", {(1, 2): 3}])
def test_what_is_no_json_is_refused_before_it_is_sent(bad: object) -> None:
    with pytest.raises(BadRequest, match="no JSON"):
        frames.dumps(bad)


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list = []
    value.append(value)
    with pytest.raises(BadRequest):
        frames.dumps(value)


def test_every_code_of_the_servers_table_has_its_class() -> None:
    codes = (
        "bad_request unauthorized forbidden no_home not_found method_not_allowed conflict outcome_unknown too_large "
        "upgrade_required too_many internal rpc_failed no_link no_owner read_only closing timeout no_space"
    ).split()
    for code in codes:
        error = errors.from_json({"error": {"code": code, "message": "m"}})
        assert error is not None and str(error) == "m"
        assert error.code in (code, "bad_request"), code
    nothing = {"too_many", "no_link", "no_owner", "read_only", "closing", "no_space"}
    for code in codes:
        error = errors.from_json({"error": {"code": code, "message": "m"}})
        assert isinstance(error, errors.NothingHappened) == (code in nothing), code


def test_an_error_tells_where_and_what() -> None:
    told = {"code": "conflict", "message": "m", "path": 'a["b.c"]', "expected": 1, "actual": -1}
    error = errors.from_json({"error": told})
    assert isinstance(error, errors.Conflict)
    assert (str(error.path), error.expected, error.actual) == ('a["b.c"]', 1, -1)
    newer = errors.from_json({"error": {"code": "eaten", "message": "by a grue"}})
    assert isinstance(newer, errors.Internal) and str(newer) == "eaten: by a grue"
    for none in (
        {"value": 1},
        {"error": 1},
        {"error": {"code": "x"}, "value": 1},
        [],
        None,
        {"error": {"code": 1}},
    ):
        assert errors.from_json(none) is None
    odd = errors.from_json({"error": {"code": "conflict", "message": 1, "path": "a..b", "expected": "x"}})
    assert odd is not None and (str(odd), odd.path, odd.expected) == ("", None, None)
