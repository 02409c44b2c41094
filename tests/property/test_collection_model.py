"""The collection against a plain dictionary: any sequence of operations leaves both equal."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.index import open_index

BITS = 12
URIS = [f"a/{number}.jpg" for number in range(6)] + ["b/ü 'quoted'.png", "c/\\back.gif"]
VALUES = {"label": ["cat", "dog", "it's", None], "size": [0, 7, 2**40, None], "score": [0.5, -1.25, None]}
rows = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VALUES.items()})
bits = st.integers(0, 3)  # few different codes, so that duplicates are the rule


def code_of(number: int) -> np.ndarray:
    return np.unpackbits(np.array([number * 37, number], np.uint8))[:BITS]


class CollectionMachine(RuleBasedStateMachine):
    """Keeps ``{id: (uri, code number, attributes)}`` beside the collection."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="deephash-test-"))
        self.collection = Collection.create(self.folder / "x.dh", num_bits=BITS)
        self.rows: dict[int, tuple[str, int, dict[str, Any]]] = {}
        self.short: dict[int, int] = {}
        self.past: dict[int, tuple[dict, dict]] = {}
        self.given: set[int] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def uris(self) -> dict[str, int]:
        return {row[0]: number for number, row in self.rows.items()}

    def remember(self) -> None:
        self.past[self.collection.version] = (dict(self.rows), dict(self.short))

    @rule(items=st.dictionaries(st.sampled_from(URIS), st.tuples(bits, rows), min_size=1))
    def put(self, items: dict[str, tuple[int, dict]]) -> None:
        before = self.uris()
        codes = BinaryCodes.from_bits(np.stack([code_of(number) for number, _ in items.values()]))
        ids = self.collection.put(uris=list(items), codes=codes, attributes=[given for _, given in items.values()])
        for number, (uri, (code, given)) in zip(ids.tolist(), items.items()):
            if uri in before:
                assert number == before[uri]
                self.short.pop(number, None)
            else:
                assert number not in self.given
            old = self.rows[number][2] if number in self.rows else {}
            self.rows[number] = (uri, code, {**old, **given})
            self.given.add(number)
        self.remember()

    @rule(items=st.dictionaries(st.sampled_from(URIS), bits, min_size=1))
    def append(self, items: dict[str, int]) -> None:
        fresh = {uri: code for uri, code in items.items() if uri not in self.uris()}
        if fresh:
            codes = BinaryCodes.from_bits(np.stack([code_of(number) for number in fresh.values()]))
            ids = self.collection.append(uris=list(fresh), codes=codes)
            assert not set(ids.tolist()) & self.given
            for number, (uri, code) in zip(ids.tolist(), fresh.items()):
                self.rows[number] = (uri, code, {})
                self.given.add(number)
            self.remember()

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.rows)), min_size=1, unique=True))
        changes = [data.draw(rows) for _ in chosen]
        self.collection.update(chosen, changes)
        for number, change in zip(chosen, changes):
            uri, code, old = self.rows[number]
            self.rows[number] = (uri, code, {**old, **change})
        self.remember()

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from([*sorted(self.rows), 10**12]), min_size=1, unique=True))
        assert self.collection.remove(chosen) == len(set(chosen) & set(self.rows))
        for number in chosen:
            self.rows.pop(number, None)
            self.short.pop(number, None)
        self.remember()

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def add_codes(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.rows)), min_size=1, unique=True))
        numbers = [data.draw(bits) for _ in chosen]
        codes = BinaryCodes.from_bits(np.stack([code_of(number)[:5] for number in numbers]))
        self.collection.add_codes("short", chosen, codes)
        self.short |= dict(zip(chosen, numbers))
        self.remember()

    @rule()
    def compact(self) -> None:
        self.collection.compact()
        self.remember()

    @rule()
    def reopen(self) -> None:
        self.collection = Collection.open(self.folder / "x.dh")

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.past)))
        self.collection.restore(version)
        rows, short = self.past[version]
        self.rows, self.short = dict(rows), dict(short)
        self.remember()

    @invariant()
    def equal(self) -> None:
        ids, codes = self.collection.codes()
        assert ids.tolist() == sorted(self.rows)
        expected = np.array([code_of(self.rows[number][1]) for number in sorted(self.rows)]).reshape(-1, BITS)
        assert (codes.bits() == expected).all()
        backwards = sorted(self.rows, reverse=True)
        for item in self.collection.items(backwards):
            uri, _, attributes = self.rows[item.id]
            assert item.uri == uri
            assert dict(item.attributes) == {name: value for name, value in attributes.items() if value is not None}
        if "short" in self.collection.code_columns:
            found, short = self.collection.codes("short")
            assert found.tolist() == sorted(self.short)
            assert (short.bits() == np.array([code_of(self.short[i])[:5] for i in found]).reshape(-1, 5)).all()

    @precondition(lambda self: self.rows)
    @rule(number=bits, k=st.integers(1, 9), kind=st.sampled_from(["faiss:flat", "scan"]))
    def search(self, number: int, k: int, kind: str) -> None:
        ids, codes = self.collection.codes()
        query = BinaryCodes.from_bits(code_of(number)[None])
        found = open_index(kind, ids, codes).search(query, k)
        distances = (codes.bits() != query.bits()).sum(axis=1)
        order = np.lexsort((ids, distances))[:k]
        assert found.ids[0].tolist() == ids[order].tolist()
        assert found.distances[0].tolist() == distances[order].tolist()

    @rule(label=st.sampled_from(["cat", "it's", "x' OR 'a'='a"]))
    def filter(self, label: str) -> None:
        expected = sorted(number for number, row in self.rows.items() if row[2].get("label") == label)
        if "label" in self.collection.attribute_kinds:
            assert self.collection.matching({"label": label}).tolist() == expected


def run(steps: int, examples: int) -> None:
    run_state_machine_as_test(
        CollectionMachine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_collection_equals_a_dictionary() -> None:
    run(steps=20, examples=8)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_collection_equals_a_dictionary_for_thousands_of_steps() -> None:
    run(steps=60, examples=100)
