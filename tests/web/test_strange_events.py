"""What a stranger sends with an event is judged as what a script of the page sends: a sentence, never a failure."""

import logging

import pytest

from tests.web import probes

PROBES = probes.load()
JUNK = [10**30, -1, 1.5, 1e300, True, "x", "²", "", None, [], {}, [[1]], {"a": 1}, "9" * 40, 2**63, -(2**63)]


@pytest.fixture(scope="module")
def target(server):
    return PROBES.Target(server.address)


@pytest.fixture(scope="module")
def events(target):
    """Number and count of inputs of the events that a script of the page calls with numbers of its own."""
    page = target.config()
    named = {one["id"]: one["props"].get("elem_id") for one in page["components"]}
    found = {}
    for one in page["dependencies"]:
        for source, event in one["targets"]:
            found[named.get(source), event] = (one["id"], one["inputs"])
    return found


def told(server, event, data, event_data) -> str:
    """Send an event and return everything the queue says about it."""
    sent = {"data": data, "fn_index": event, "session_hash": f"s{event}", "event_data": event_data}
    with server.client() as client:
        joined = client.post("gradio_api/queue/join", json=sent)
        assert joined.status_code == 200, joined.text
        with client.stream("GET", "gradio_api/queue/data", params={"session_hash": f"s{event}"}) as answer:
            lines = []
            for line in answer.iter_lines():
                lines.append(line)
                if "process_completed" in line or "close_stream" in line:
                    return "\n".join(lines)
    raise AssertionError("the queue ended without an answer")


def values(target, inputs) -> list:
    """What the page's own script would send: the value of every component."""
    props = {one["id"]: one["props"] for one in target.config()["components"]}
    return [props[one].get("value") for one in inputs]


@pytest.mark.parametrize(
    ("source", "event", "names"),
    [
        ("dh-results", "requery", ("id",)),
        ("dh-results", "steer", ("id", "sign")),
        ("dh-results", "cutoff", ("bits",)),
        ("dh-insight", "cutoff", ("bits",)),
        ("dh-trail", "goto", ("step",)),
        ("dh-chips", "leave", ("part",)),
        ("dh-results", "discard", ("id",)),
        ("dh-compare", "requery", ("id",)),
    ],
)
def test_numbers_of_events_are_bounded(server, target, events, caplog, source, event, names):
    number, inputs = events[source, event]
    sound = values(target, inputs)
    for junk in JUNK:
        for name in names:
            with caplog.at_level(logging.ERROR):
                said = told(server, number, sound, {one: junk if one == name else 1 for one in names})
            assert "Something went wrong" not in said, (name, junk)
            assert '"success":true' in said.replace(" ", ""), (name, junk, said[-500:])
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("sent", [None, [], "x", 7, {"id": None}, {"other": 1}])
def test_an_event_without_its_data_gets_a_sentence(server, target, events, sent):
    number, inputs = events["dh-results", "requery"]
    said = told(server, number, values(target, inputs), sent)
    assert "is a whole number of 0 to" in said
    assert "Something went wrong" not in said


@pytest.mark.parametrize(
    "address", ["?id=-1", "?code=zz", "?code=00", "?k=0&id=1", "?within=x&id=1", "?where=%00&id=1", 7]
)
@pytest.mark.parametrize("key", ["", "0" * 32, None, {}])
def test_an_address_that_nobody_can_have_gets_a_sentence(server, target, events, address, key):
    number, inputs = events["dh-results", "visit"]
    said = told(server, number, values(target, inputs), {"address": address, "key": key})
    assert "Something went wrong" not in said
    assert ("dh-error" in said) is (address != 7)
