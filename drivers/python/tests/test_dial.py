"""A transport that sends frames together."""

from typing import Any, List

from tega.dial import Transport


class Wire:
    """A transport that writes down what it's told."""

    def __init__(self) -> None:
        self.did: List[Any] = []

    def write(self, data: bytes) -> None:
        self.did.append(data)

    def write_eof(self) -> None:
        self.did.append("eof")

    def close(self) -> None:
        self.did.append("close")

    def is_closing(self) -> bool:
        return "close" in self.did


def test_what_is_held_goes_in_one_piece_and_in_its_order() -> None:
    wire = Wire()
    transport = Transport(wire)  # type: ignore[arg-type]
    transport.write(b"1")
    transport.hold()
    transport.write(b"2")
    transport.hold()
    transport.write(b"3")
    assert wire.did == [b"1"]
    transport.flush()
    transport.flush()
    transport.write(b"4")
    assert wire.did == [b"1", b"23", b"4"]
    assert not transport.is_closing(), "all else is the transport's own"


def test_what_is_held_is_bounded() -> None:
    wire = Wire()
    transport = Transport(wire)  # type: ignore[arg-type]
    for n in range(1_000):
        transport.hold()
        transport.write(bytes(100))
        held = n * 100 + 100 - sum(map(len, wire.did))
        assert held <= Transport.MOST
    assert max(map(len, wire.did)) <= Transport.MOST + 100
    transport.hold()
    transport.write(bytes(1 << 20))
    assert len(wire.did[-1]) >= 1 << 20, "what is large isn't held"


def test_an_end_comes_behind_what_was_held() -> None:
    for end in ("eof", "close"):
        wire = Wire()
        transport = Transport(wire)  # type: ignore[arg-type]
        transport.hold()
        transport.write(b"1")
        transport.write_eof() if end == "eof" else transport.close()
        assert wire.did == [b"1", end]
