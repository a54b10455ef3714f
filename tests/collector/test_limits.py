"""What a Collector or a Jaeger that is set up by the book loses arrives with the configuration of `collector/`."""

from __future__ import annotations

import math
from typing import Any

import pytest

from massgen_tracing.store.roots import catalogue, reader
from tests.collector import sent
from tests.collector.conftest import eventually
from tools.backends.running import Collector, Jaeger

pytestmark = pytest.mark.binaries

LONGEST = 60_000
"""Bytes of a value in Jaeger; its storage takes no more than 65,000 as a key of its index."""


def arrive(jaeger: Jaeger, trace: str, count: int) -> list[dict[str, Any]]:
    """The spans of a trace, when so many are there."""

    def there() -> list[dict[str, Any]] | None:
        found = jaeger.trace(trace)
        return found if len(found) >= count else None

    return list(eventually(there))


@pytest.mark.parametrize(
    ("long", "kept"),
    [
        ("x" * 900_000, 900_000),
        ("ä" * 40_000, 80_000),
        (["x" * 50_000, "y" * 50_000], 100_000),
    ],
    ids=["a text", "a text that is longer in bytes", "a list"],
)
def test_a_long_value_is_cut_for_jaeger_and_whole_in_the_file(collector: Collector, jaeger: Jaeger, long: Any, kept: int) -> None:
    """Its span arrives, and so do its neighbours; cut on a whole character, and no longer than Jaeger can take."""
    first = sent.span("long", {"long": long, "short": "as it is"})
    second = sent.span("beside it", trace=sent.trace_id(first), parent=first.span_id.hex())
    assert sent.send(collector.http, first, second).status_code == 200
    spans = {span["name"]: sent.values(span["attributes"]) for span in arrive(jaeger, sent.trace_id(first), 2)}
    assert set(spans) == {"long", "beside it"}
    assert spans["long"]["short"] == "as it is"
    cut = spans["long"]["long"]
    assert LONGEST - 1_000 < len(cut.encode()) <= LONGEST
    assert "\N{REPLACEMENT CHARACTER}" not in cut
    (whole,) = [span for span in reader.read(catalogue.files(collector.data / "spans")).spans if span.span_id == first.span_id.hex()]
    held = whole.attributes["long"]
    texts = held if isinstance(held, list | tuple) else [held]
    assert sum(len(str(text).encode()) for text in texts) == kept


@pytest.mark.parametrize("where", ["name", "status", "event name", "event", "resource"])
def test_long_texts_arrive_wherever_they_stand(collector: Collector, jaeger: Jaeger, where: str) -> None:
    """Jaeger's index has more than attributes: names, messages of statuses, what events say, and the resource."""
    long = "z" * 100_000
    one = sent.span(f"long {where}")
    match where:
        case "name":
            one.name = long
        case "status":
            one.status.message = long
            one.status.code = one.status.STATUS_CODE_ERROR
        case "event name":
            one.events.add(time_unix_nano=one.start_time_unix_nano, name=long)
        case "event":
            event = one.events.add(time_unix_nano=one.start_time_unix_nano, name="it")
            event.attributes.add(key="long").value.string_value = long
    response = sent.send(collector.http, one, service=long if where == "resource" else "massgen")
    assert response.status_code == 200
    assert arrive(jaeger, sent.trace_id(one), 1)


def test_batches_of_more_than_jaeger_takes_at_once_arrive_whole(collector: Collector, jaeger: Jaeger) -> None:
    """12 spans of 600,000 bytes in one request, which are 7 MB: Jaeger takes 4 MiB over gRPC, and refuses more for good."""
    first = sent.span("first", {f"part {number}": "w" * 50_000 for number in range(12)})
    others = [
        sent.span("more", {f"part {number}": "w" * 50_000 for number in range(12)}, trace=sent.trace_id(first), parent=first.span_id.hex())
        for _ in range(11)
    ]
    assert sent.send(collector.http, first, *others).status_code == 200
    assert len(arrive(jaeger, sent.trace_id(first), 12)) == 12


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [1.0, math.nan], 1.5], ids=str)
def test_a_number_that_json_lacks_does_not_hide_its_trace(collector: Collector, jaeger: Jaeger, value: Any) -> None:
    """Jaeger's older API, which its pages ask, shows the trace, and says such a number in words; other numbers stay numbers."""
    one = sent.span("a number", {"number": value, "count": 3})
    assert sent.send(collector.http, one).status_code == 200
    arrive(jaeger, sent.trace_id(one), 1)
    found = jaeger.older(sent.trace_id(one))
    assert found is not None
    tags = {tag["key"]: (tag["type"], tag["value"]) for tag in found["spans"][0]["tags"]}
    assert tags["count"] == ("int64", 3)
    if value == 1.5:
        assert tags["number"] == ("float64", 1.5)
    else:
        assert tags["number"][0] == "string"
        assert ("nan" if "nan" in str(value) else "inf") in tags["number"][1].lower()


def test_a_request_that_is_larger_than_grpc_allows_by_itself_is_taken(collector: Collector) -> None:
    """One span with 8 MB of content, over HTTP and by our own sender over gRPC."""
    large = sent.span("large", {"content": "c" * 8_000_000})
    assert sent.send(collector.http, large).status_code == 200
