import pickle

import pytest
from tega import BadPath, Path, path
from tega.paths import from_wire, wire

ODD = [
    "a",
    "@rule[12]",
    "192.168.1.1",
    "with space",
    "ünï",
    'q"uote',
    "a/b",
    "x=y",
    "%41",
    "\n",
    "[",
    "_lan",
    "@x[]",
]


def test_a_path_reads_back_from_every_form_it_is_written_in() -> None:
    for first in ODD:
        for second in ODD:
            at = Path(["r", first, second])
            assert Path(str(at)) == at, at
            assert from_wire(wire(at)) == at, at
            assert not {" ", "\n"} & set(wire(at))
            assert path["r"][first][second] == at == path / "r" / first / second


def test_the_forms_mean_the_same() -> None:
    at = path.lan.hosts["192.168.1.9"].name
    assert str(at) == 'lan.hosts["192.168.1.9"].name'
    for form in (str(at), "/lan/hosts/192.168.1.9/name", ["lan", "hosts", "192.168.1.9", "name"], at, tuple(at)):
        assert Path(form) == at
        assert hash(Path(form)) == hash(at)
    assert list(Path("/")) == [] and str(path) == "/"
    assert str(Path(["a", "@x[0]", "c.d"])) == 'a.@x[0]["c.d"]'
    assert Path('["a b"]["c"].d') == Path(["a b", "c", "d"])


def test_every_name_can_be_a_key() -> None:
    assert str(path.keys.parse.count._lan.index) == "keys.parse.count._lan.index"


def test_a_path_holds_itself_and_what_is_below() -> None:
    assert path.a.b in path.a and path.a in path.a and path.a in path
    assert path.ab not in path.a and path not in path.a
    assert sorted([path.b, path.a.b, path.a]) == [path.a, path.a.b, path.b]
    assert pickle.loads(pickle.dumps(path.a["b.c"])) == path.a["b.c"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("", "empty key"),
        ("a..b", "character 2: an empty key"),
        ("a.", "empty key"),
        ("/a//b", "empty key"),
        ("a b", "character 1: ' ' can't stand"),
        ("a=1", "'='"),
        ("a[b", "'['"),
        ('a["b', "doesn't end"),
        (r'a["b\q"]', "bad escape"),
        ("a._value", "internal form"),
        ("k" * 513, "longer than 512"),
        (".".join(["k"] * 65), "more than 64"),
        ([1], "a key is a string"),
        (["\ud800"], "Unicode"),
    ],
)
def test_a_bad_path_is_refused_with_the_place_and_the_reason(bad: object, why: str) -> None:
    with pytest.raises(BadPath, match=why.replace("[", r"\[")):
        Path(bad)  # type: ignore[arg-type]


def test_a_key_by_number_is_no_key() -> None:
    with pytest.raises(TypeError, match="tuple"):
        path.a[0]  # type: ignore[index]
