"""Protocol strings: one canonical form, read back unchanged, and every difference named."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deephash.errors import UsageError
from deephash.reports.protocol import Protocol

CIFAR = Protocol(dataset="cifar10-i/v1", num_bits=64, num_queries=1000, num_database=59000, split="sha256:ab12cd34")
CANONICAL = (
    "cifar10-i/v1 | mAP@all | rel=any-shared-label | ties=expected | norm=hits | empty=zero | K=64 | q=1000 db=59000 "
    "| split=sha256:ab12cd34"
)


def test_the_string_is_the_documented_one():
    assert str(CIFAR) == CANONICAL
    assert Protocol.parse(CANONICAL) == CIFAR


def test_optional_fields_appear_only_when_they_say_something():
    changed = replace(CIFAR, crops=10, rerank="cosine@100", backbone="resnet18")
    assert str(changed) == CANONICAL + " | backbone=resnet18 | crops=10 | rerank=cosine@100"
    assert Protocol.parse(str(changed)) == changed


values = st.text(st.characters(codec="utf-8", exclude_characters="|", exclude_categories=("C", "Z")), min_size=1)


@given(st.fixed_dictionaries({f.name: st.integers(0, 10**9) if f.type == "int" else values for f in fields(Protocol)}))
def test_every_protocol_survives_its_string(given_values):
    protocol = Protocol(**given_values)
    assert Protocol.parse(str(protocol)) == protocol


@pytest.mark.parametrize("name", [f.name for f in fields(Protocol)])
def test_every_field_is_seen_as_a_difference(name):
    value = getattr(CIFAR, name)
    other = replace(CIFAR, **{name: value + 1 if isinstance(value, int) else value + "x"})
    expected = {} if name == "num_bits" else {name: (value, getattr(other, name))}
    assert CIFAR.differences(other) == expected
    assert name in CIFAR.differences(other, ignoring=())
    assert str(CIFAR) != str(other)


@pytest.mark.parametrize("text", ["", "a", CANONICAL + " | crop=10", CANONICAL + " | K=64", "a | b | K=x", "a | b | q"])
def test_what_is_no_protocol_string_is_refused(text):
    with pytest.raises(UsageError):
        Protocol.parse(text)


def test_a_misspelt_field_gets_a_suggestion():
    with pytest.raises(UsageError, match="did you mean 'crops'"):
        Protocol.parse(CANONICAL + " | crop=10")


@pytest.mark.parametrize("bad", ["", " x", "a|b", "a\nb"])
def test_values_that_would_break_the_string_are_refused(bad):
    with pytest.raises(UsageError, match="dataset"):
        Protocol(dataset=bad)


def test_negative_counts_are_refused():
    with pytest.raises(UsageError, match="num_bits"):
        Protocol(num_bits=-1)


@pytest.mark.parametrize(
    ("metric", "top_k", "radius"),
    [("mAP@all", None, None), ("P@100", 100, None), ("P@H<=2", None, 2), ("kNN@5", 5, None)],
)
def test_cut_off_and_radius_stand_in_the_metric(metric, top_k, radius):
    protocol = CIFAR.for_metric(metric)
    assert (protocol.top_k, protocol.radius) == (top_k, radius)
    assert protocol.differences(CIFAR) == ({} if metric == "mAP@all" else {"metric": (metric, "mAP@all")})
