"""ranking.proto and the table of messages.py say the same, and its messages are real ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError

from serving.gateway import messages

TEXT = Path(messages.__file__).with_name("ranking.proto").read_text(encoding="utf-8")
CODE = re.sub(r"//[^\n]*", "", TEXT)


def test_messages_and_fields():
    assert re.search(r"package ([\w.]+);", CODE).group(1) == messages.PACKAGE
    found = {}
    for name, body in re.findall(r"message (\w+) \{(.*?)\}", CODE, re.DOTALL):
        lines = [line.strip() for line in body.split(";") if line.strip()]
        found[name] = tuple(field(line) for line in lines)
    assert found == messages.FIELDS


def field(line):
    repeated, kind, name, number = re.fullmatch(r"(repeated )?(\w+) (\w+) = (\d+)", line).groups()
    kind = f"{messages.PACKAGE}.{kind}" if kind in messages.FIELDS else kind
    return int(number), name, ("*" if repeated else "") + kind


def test_methods():
    service, body = re.search(r"service (\w+) \{(.*?)\n\}", CODE, re.DOTALL).groups()
    assert f"{messages.PACKAGE}.{service}" == messages.SERVICE
    found = {name: types for name, *types in re.findall(r"rpc (\w+)\((\w+)\) returns \((\w+)\);", body)}
    assert found == {name: list(types) for name, types in messages.METHODS.items()}
    assert messages.path("Rank") == "/seminar.gateway.v1.RankingService/Rank"


def test_bytes_on_the_wire():
    request = messages.RankRequest(user_id="u", candidate_item_id=["a", "é"], top=3, request_timestamp_ms=5)
    assert request.SerializeToString() == b"\n\x01u\x1a\x01a\x1a\x02\xc3\xa9(\x050\x03"
    batch = messages.AppendEventsRequest.FromString(b"\n\x01u\x12\x08\n\x01e\x12\x01i \x07")
    assert (batch.events[0].event_id, batch.events[0].item_id, batch.events[0].timestamp_ms) == ("e", "i", 7)


@pytest.mark.parametrize("raw", [b"\xff\xff", b"\n\x05u", b"\n\x02\xff\xfe"])
def test_damaged_bytes_and_strings_that_are_no_utf8(raw):
    with pytest.raises(DecodeError):
        messages.RankRequest.FromString(raw)
