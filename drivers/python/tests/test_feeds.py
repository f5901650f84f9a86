"""What a watch makes of frames, without a server."""

import json
from typing import Any, Dict, List, Optional

import pytest
from tega.errors import BadRequest, Lagging
from tega.feeds import Channel, Changes, Messages, plain
from tega.paths import Path
from tega.types import Change, Message


def entry(
    path: str, value: Any = 1, ope: str = "PUT", position: int = 1, version: int = 1, **more: Any
) -> Dict[str, Any]:
    made = {"ope": ope, "path": path, "tega_id": "x", "instance": value, "root": path.split(".")[0], "inc": "aa"}
    return {**made, "version": version, "position": position, **more}


def feed(path: str = "a", *, regex: bool = False, state: bool = False, limit: int = 100) -> Changes:
    made = Changes(Channel(path, regex), limit, state)
    made.began({"position": 0, "roots": {}} if not state else {"position": 0, "roots": {}, "value": None})
    return made


def taken(feed: Changes) -> List[str]:
    told = []
    while feed.queued:
        change = feed.take()
        assert isinstance(change, Change)
        told.append(f"{change.kind} {change.path} {json.dumps(change.value)}")
    return told


def test_entries_for_other_channels_are_passed_over() -> None:
    entries = [entry("a.b", {"c": 1}), entry("a.b.c", 1), entry("z.y", 2)]
    for path, told in [
        ("a", ['put a.b {"c": 1}']),
        ("a.b", ['put a.b {"c": 1}']),
        ("a.b.c", ["put a.b.c 1"]),
        ("a.b.d", []),
        ("/", ['put a.b {"c": 1}', "put z.y 2"]),
    ]:
        watch = feed(path)
        watch.notified(entries)
        assert taken(watch) == told, path
    watch = feed(r"a\.b\.[c-d]", regex=True)
    watch.notified(entries)
    assert taken(watch) == ["put a.b.c 1"]
    watch = feed("a.*", regex=True)
    watch.notified([entry("a.b.c", 1), entry("a.b", {"c": 1})])
    assert taken(watch) == ['put a.b {"c": 1}'], "the channel below came first"


def test_two_changes_of_one_commit_are_two() -> None:
    watch = feed("a")
    watch.notified([entry("a.b", {"c": 1}), entry("a.b.c", 2), entry("a.b.c", 1), entry("a.b.c", 1, "DELETE")])
    assert taken(watch) == ['put a.b {"c": 1}', "put a.b.c 2", "put a.b.c 1", "delete a.b.c 1"]
    watch.notified([entry("a.b", {"c": True}, position=2), entry("a.b.c", 1, position=2)])
    assert taken(watch) == ['put a.b {"c": true}', "put a.b.c 1"], "true isn't 1"
    watch.notified([entry("a.b", {"c": 3}, "DELETE", 3), entry("a.b.c", 3, "DELETE", 3)])
    assert taken(watch) == ['delete a.b {"c": 3}']


def test_a_rollback_is_one_change() -> None:
    watch = feed("a")
    watch.notified([entry("a.b", 5), entry("a", {"b": 5}, "ROLLBACK", backto=1), entry("a.b", 5, "ROLLBACK")])
    assert taken(watch) == ['rollback a {"b": 5}']
    watch = feed("a.b")
    watch.notified([entry("a", {"b": 5}, "ROLLBACK", backto=1), entry("a.b", 5, "ROLLBACK", backto=1)])
    assert taken(watch) == ["rollback a.b 5"]


def test_what_was_seen_isnt_told_again() -> None:
    watch = feed("a")
    watch.notified([entry("a.b", 1, position=5, version=3)])
    assert json.loads(watch.body())["since"] == {"a": ["aa", 3]}
    watch.broke()
    watch.notified([entry("a.b", 2, position=6, version=4)])
    watch.began({"position": 7, "roots": {"a": ["aa", 5]}, "missed": [entry("a.b", 3, position=7, version=5)]})
    watch.notified([entry("a.b", 3, position=7, version=5)])
    watch.notified([entry("a.b", 4, position=8, version=6)])
    assert taken(watch) == ["put a.b 1", "put a.b 3", "put a.b 4"]


def test_of_a_root_that_isnt_there_the_position_tells_what_is_new() -> None:
    watch = Changes(Channel("a", False), 10, False)
    watch.began({"position": 4, "roots": {"b": ["bb", 1]}})
    assert json.loads(watch.body())["since"] == 4
    watch = Changes(Channel("/", False), 10, False)
    watch.began({"position": 4, "roots": {"b": ["bb", 1]}})
    old = [entry("gone.x", 1, position=2), entry("gone", {}, "DELETE", position=3)]
    watch.began({"position": 5, "roots": {}, "missed": [*old, entry("new.x", 2, position=5)]})
    assert taken(watch) == ["put new.x 2"], "what came and went before the watch began"


def test_where_the_history_is_gone_the_state_is_told() -> None:
    watch = feed("a")
    watch.notified([entry("a.b", 1, version=1)])
    watch.broke()
    watch.began({"position": 50, "roots": {"a": ["cc", 40]}, "gone": True, "value": {"b": 9}})
    watch.notified([entry("a.b", 10, position=51, version=41, inc="cc")])
    assert taken(watch) == ["put a.b 1", 'state a {"b": 9}', "put a.b 10"]
    assert json.loads(watch.body())["since"] == {"a": ["cc", 41]}


def test_a_state_that_is_read_afterwards_and_what_comes_meanwhile_are_told_once() -> None:
    watch = feed("a")
    watch.broke()
    assert watch.began({"position": 9, "roots": {"a": ["aa", 5]}, "gone": True, "truncated": True})
    watch.notified([entry("a.b", 6, position=10, version=6)])
    watch.notified([entry("a.b", 7, position=11, version=7)])
    watch.read(watch.reads, {"b": 6}, {"a": 6})
    assert taken(watch) == ['state a {"b": 6}', "put a.b 7"]
    # A break before it was read: it's owed.
    watch.broke()
    assert watch.began({"position": 19, "roots": {"a": ["aa", 9]}, "gone": True, "truncated": True})
    watch.broke()
    assert json.loads(watch.body())["state"] is True
    watch.began({"position": 20, "roots": {"a": ["aa", 9]}, "missed": [], "value": {"b": 8}})
    assert taken(watch) == ['state a {"b": 8}']
    assert json.loads(watch.body())["state"] is False


def test_where_too_much_comes_while_the_state_is_read_all_is_asked_for_again() -> None:
    asked: List[str] = []
    watch = feed("a", limit=2)
    watch.ask_again = lambda: asked.append(watch.body())
    watch.broke()
    watch.began({"position": 9, "roots": {"a": ["aa", 5]}, "gone": True, "truncated": True})
    for n in (6, 7, 8):
        watch.notified([entry("a.b", n, position=n + 4, version=n)])
    watch.read(watch.reads, {"b": 7}, {"a": 7})
    assert watch.queued == 0 and watch.take() is None
    assert [json.loads(body) for body in asked] == [{"regex": False, "state": True, "since": {"a": ["aa", 5]}}]
    missed = [entry("a.b", n, position=n + 4, version=n) for n in (6, 7, 8)]
    watch.began({"position": 12, "roots": {"a": ["aa", 8]}, "missed": missed, "value": {"b": 8}})
    assert taken(watch) == ["put a.b 6", "put a.b 7", "put a.b 8", 'state a {"b": 8}']


@pytest.mark.parametrize("path, regex", [("/", False), (r"[ab]\.n", True)])
def test_what_the_state_of_several_roots_has_isnt_told_again(path: str, regex: bool) -> None:
    watch = Changes(Channel(path, regex), 100, True)
    assert watch.began({"position": 1, "roots": {"a": ["aa", 1], "b": ["bb", 7]}})
    a = [entry("a.n", n, position=n, version=n) for n in range(10)]
    b = [entry("b.n", n, position=n, version=n, inc="bb") for n in range(10)]
    watch.notified([a[2]])
    watch.notified([b[8]])
    watch.notified([{**a[3], "position": 9}])
    watch.read(1, {"a": {"n": 2}, "b": {"n": 9}, "new": {"n": 1}}, {"a": 2, "b": 9, "new": 1})
    state = watch.take()
    assert isinstance(state, Change) and state.kind == "state"
    # Behind the answer, and in it all the same.
    watch.notified([{**b[9], "position": 10}])
    # Both in one commit, of which the state has all or nothing.
    watch.notified([entry("c.n", 1, position=11), {**b[9], "position": 11}])
    watch.notified([{**a[4], "position": 12}, {**b[9], "version": 10, "instance": 10, "position": 12}])
    assert taken(watch) == ["put a.n 3", "put a.n 4", "put b.n 10"]
    # What was missed may be in it as well; and the same version of another incarnation isn't.
    watch.broke()
    watch.began(
        {
            "position": 20,
            "roots": {"a": ["aa", 5], "b": ["cc", 1]},
            "missed": [{**b[9], "position": 10}, {**a[5], "position": 19}, {**b[1], "inc": "cc", "position": 20}],
        }
    )
    assert taken(watch) == ["put a.n 5", "put b.n 1"]


def test_a_state_that_was_asked_for_earlier_is_older_than_what_was_told_since() -> None:
    watch = Changes(Channel("a", False), 1, True)
    assert watch.began({"position": 1, "roots": {"a": ["aa", 1]}})
    for n in (2, 3):
        watch.notified([entry("a.n", n, position=n, version=n)])
    assert watch.queued == 0, "too much came meanwhile"
    missed = [entry("a.n", n, position=n, version=n) for n in (2, 3)]
    assert watch.began({"position": 3, "roots": {"a": ["aa", 3]}, "missed": missed})
    watch.read(1, {"n": 1}, {"a": 1})
    watch.read(2, {"n": 3}, {"a": 3})
    assert taken(watch) == ["put a.n 2", "put a.n 3", 'state a {"n": 3}']


def test_the_internal_form_is_read_back() -> None:
    leaf = {"_ephemeral": False, "_oid": "x", "_parent": "a", "_version": 3}
    internal = {"a": {**leaf, "x": {**leaf, "_value": [1, {"_value": 2}]}, "___version": {**leaf, "_value": None}}}
    assert plain(internal) == {"a": {"x": [1, {"_value": 2}], "__version": None}}


def test_a_version_that_is_known_isnt_forgotten() -> None:
    """A root that was deleted and has ephemeral nodes now is said to be at version 0."""
    watch = feed("a")
    watch.notified([entry("a", 1, "DELETE", position=5, version=4)])
    watch.broke()
    watch.began({"position": 5, "roots": {"a": ["aa", 0]}})
    assert json.loads(watch.body())["since"] == {"a": ["aa", 4]}
    watch.broke()
    watch.began({"position": 9, "roots": {"a": ["bb", 0]}})
    assert json.loads(watch.body())["since"] == {"a": ["bb", 0]}


def test_the_state_of_a_regex_is_its_topmost_nodes() -> None:
    watch = Changes(Channel(r"a\.b.*|c", True), 10, True)
    assert watch.began({"position": 1, "roots": {}})
    watch.read(1, {"a": {"b": {"x": 1}, "b.c": 2, "d": 3}, "c": {"c": 4}, "d": {"c": 5}}, {})
    change = watch.take()
    assert isinstance(change, Change)
    assert change.value == {Path("a.b"): {"x": 1}, Path(["a", "b.c"]): 2, Path("c"): {"c": 4}}


def test_a_full_queue_takes_nothing_in_until_it_was_read_and_then_asks_for_what_it_missed() -> None:
    asked: List[Optional[str]] = []
    watch = feed("a", limit=3)
    watch.ask_again = lambda: asked.append(watch.body())
    for n in range(1, 10):
        watch.notified([entry("a.n", n, position=n, version=n)])
    assert watch.queued == 3 and not asked
    assert taken(watch) == ["put a.n 1", "put a.n 2", "put a.n 3"]
    assert [json.loads(body or "")["since"] for body in asked] == [{"a": ["aa", 3]}]
    watch.notified([entry("a.n", 10, position=10, version=10)])
    assert watch.queued == 0, "the answer tells it"
    watch.began(
        {"position": 10, "roots": {}, "missed": [entry("a.n", n, position=n, version=n) for n in range(4, 11)]}
    )
    assert len(taken(watch)) == 7


def test_so_many_roots_that_they_cant_be_named_start_from_the_state() -> None:
    watch = feed("/")
    watch.notified([entry(f"{'r' * 400}{n}.x", n) for n in range(3_000)])
    body = json.loads(watch.body())
    assert "since" not in body and body["state"] is True
    watch.broke()
    assert watch.began({"position": 1, "roots": {}})


def test_a_frame_that_cant_be_read_is_refused() -> None:
    from tega.frames import BadFrame

    for bad in [{}, {"ope": "EAT", "path": "a"}, {"ope": "PUT", "path": "a..b"}, {"ope": "PUT", "path": 1}, 5]:
        with pytest.raises((BadFrame, AttributeError)):
            feed("a").notified([bad])


def test_messages_that_find_no_place_are_counted() -> None:
    messages = Messages(Channel("a", False), 2)
    heard = [Message(Path("a"), n, "x") for n in range(6)]
    for message in heard[:5]:
        messages.heard(message)
    assert [messages.take(), messages.take()] == heard[:2]
    messages.heard(heard[5])
    lost = messages.take()
    assert isinstance(lost, Lagging) and lost.lost == 4, "the newer one as well: what was lost is told first"
    messages.heard(heard[5])
    assert messages.take() == heard[5]


def test_a_channel_that_cant_be_is_refused() -> None:
    for bad in ("(", "a\nb", 5):
        with pytest.raises(BadRequest):
            Channel(bad, True)  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="queue"):
        feed("a", limit=0)
    insensitive = Channel("(?i)A\\.B", True)
    assert insensitive.sees(Path("a.b.c")) and not insensitive.sees(Path("a.bc"))
