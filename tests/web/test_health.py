"""Alive, ready, and the figures for Prometheus: what each says, when, and to whom."""

import shutil

import pytest
from deephash.webui import serve, server
from deephash.webui.app import build_app
from deephash.webui.turns import ServerBusy, Turns
from deephash.webui.workspace import Workspace
from fastapi.testclient import TestClient

from deephash.collection import Collection
from deephash.errors import UsageError
from tests.web.collections import colours_collection


@pytest.fixture
def path(tmp_path):
    colours_collection(tmp_path / "colours.dh", tmp_path / "colours")
    return tmp_path / "colours.dh"


def client_of(workspace, **settings):
    app = build_app(workspace, **settings)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


def figures(client) -> dict[str, float]:
    """Return every sample of /metrics by its name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = [line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_a_server_is_alive_at_once_and_ready_after_its_first_answer(path):
    workspace = Workspace([path])
    client = client_of(workspace)
    assert client.get("/healthz").json() == {"status": "alive"}
    before = client.get("/readyz")
    assert before.status_code == 503
    assert before.headers["retry-after"] == "1"
    assert "encoder is still being loaded" in before.json()["error"]
    workspace.warm_up()
    after = client.get("/readyz")
    assert (after.status_code, after.json()) == (200, {"status": "ready"})
    assert after.headers["cache-control"] == "no-store"
    assert client.head("/readyz").status_code == client.head("/healthz").status_code == 200


def test_a_server_whose_first_model_cannot_be_opened_is_alive_and_never_ready(path):
    workspace = Workspace([path])
    shutil.rmtree(path / "models")
    with pytest.raises(Exception, match="model"):
        workspace.warm_up()
    client = client_of(workspace)
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["error"] == "The collection colours could not answer a first time; the server printed why."
    assert str(path.parent) not in answer.text


def test_a_second_collection_that_fails_does_not_take_readiness_back(path, tmp_path):
    shutil.copytree(path, tmp_path / "broken.dh")
    workspace = Workspace([path, tmp_path / "broken.dh"])
    shutil.rmtree(tmp_path / "broken.dh" / "models")
    with pytest.raises(Exception, match="model"):
        workspace.warm_up()
    assert client_of(workspace).get("/readyz").status_code == 200


@pytest.mark.parametrize("route", ["/healthz", "/readyz", "/metrics"])
def test_the_guard_stands_before_them_too(path, route):
    workspace = Workspace([path])
    assert client_of(workspace, metrics=True).get(route, headers={"host": "evil.example"}).status_code == 421
    secured = client_of(workspace, metrics=True, user="me", password="secret")
    assert secured.get(route).status_code == 401
    assert secured.get(route, auth=("me", "secret")).status_code != 401
    assert secured.post(route, auth=("me", "secret")).status_code == 405


def test_there_are_no_metrics_unless_asked_for(path):
    assert client_of(Workspace([path])).get("/metrics").status_code == 404


def test_queries_are_counted_by_kind_and_collection_with_their_times(path):
    client = client_of(Workspace([path]), metrics=True)
    for form in ({"id": 0}, {"id": 1}, {"text": "red"}):
        assert client.post("/api/search", data=form).status_code == 200
    assert client.post("/api/encode", data={"text": "blue"}).status_code == 200
    found = figures(client)
    item, words = ('{collection="colours",kind="' + kind + '"}' for kind in ("item", "words"))
    assert found["deephash_query_seconds_count" + item] == 2
    assert found["deephash_query_seconds_count" + words] == 1
    assert found["deephash_query_seconds_sum" + words] > found["deephash_encode_seconds_sum" + words] / 2 > 0
    assert found["deephash_encode_seconds_count" + words] == 2
    assert "deephash_encode_seconds_count" + item not in found, "the code of an item is known"
    bucket = 'deephash_query_seconds_bucket{collection="colours",kind="item",le="+Inf"}'
    assert found[bucket] == 2


def test_what_was_not_answered_is_counted_by_its_reason(path):
    client = client_of(Workspace([path]), metrics=True)
    assert client.post("/api/search", data={"id": 10**6}).status_code == 400
    assert client.post("/api/search", data={"id": 0, "where": "no such = thing"}).status_code == 400
    assert client.post("/api/encode", files={"picture": b"no picture"}).status_code == 415
    found = figures(client)
    assert found['deephash_errors_total{collection="colours",reason="question"}'] >= 1
    assert 'deephash_query_seconds_count{collection="colours",kind="item"}' not in found


def test_rows_generation_readiness_and_memory_are_those_of_now(path):
    workspace = Workspace([path])
    client = client_of(workspace, metrics=True)
    before, collection = figures(client), workspace.place().searcher.collection
    label = '{collection="colours"}'
    assert before["deephash_rows" + label] == len(collection)
    assert before["deephash_generation" + label] == collection.version
    assert (before["deephash_ready"], before["deephash_collection_up" + label]) == (0, 1)
    assert before["process_resident_memory_bytes"] > 50 << 20
    Collection.open(path).remove([0])
    workspace.warm_up()
    after = figures(client)
    assert after["deephash_rows" + label] == before["deephash_rows" + label] - 1
    assert after["deephash_generation" + label] > before["deephash_generation" + label]
    assert after["deephash_ready"] == 1


def test_a_damaged_collection_is_told_and_fails_no_scrape(path):
    workspace = Workspace([path])
    client = client_of(workspace, metrics=True)
    (path / "collection.json").write_text("{")
    found = figures(client)
    assert found['deephash_collection_up{collection="colours"}'] == 0
    assert 'deephash_rows{collection="colours"}' not in found


def test_no_words_of_a_query_are_in_the_metrics(path):
    client = client_of(Workspace([path]), metrics=True)
    assert client.post("/api/search", data={"text": "red secretword"}).status_code == 200
    client.post("/api/search", data={"text": "red", "minus": "secretword"})
    client.post("/api/search", data={"text": "red", "collection": "secretname"})
    text = client.get("/metrics").text
    assert 'kind="words"' in text
    assert "secret" not in text


def test_who_is_turned_away_is_counted():
    turns = Turns(at_once=1, waiting=0, patience=0.01)
    with turns, pytest.raises(ServerBusy, match="too many searches are waiting"), turns:
        pass
    assert turns.turned_away == 1
    with turns:
        pass
    assert turns.turned_away == 1


def test_metrics_without_the_package_are_refused_with_the_command_that_helps(path, monkeypatch):
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="deephash\\[serve\\]"):
        serve([path], port=0, metrics=True)


def test_a_log_format_that_is_none_is_refused(path):
    with pytest.raises(UsageError, match="none or json, not 'xml'"):
        serve([path], port=0, log_format="xml")
