"""What goes wrong with a server: killed, restarted, slow, full, old, or refusing; nothing is lost, and it is said."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.milvus_push import Pusher, audit
from deephash.errors import EngineUnavailable
from deephash.index.milvus import Connection, MilvusAddress, connection, contents
from deephash.index.milvus.table import Table
from deephash.search import Options, Part, Query, Searcher
from tests.milvus.collections import random_collection
from tests.milvus.proxy import SlowProxy
from tests.milvus.server import Server, free_port


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    """A server that may be killed; started again by whoever kills it."""
    with contextlib.closing(Server(tmp_path_factory.mktemp("victim"))) as started:
        yield started


def differs(collection: Collection, address: str) -> dict[str, int]:
    table = Pusher(collection, MilvusAddress.parse(address)).table_of(collection.current)
    return audit(table, collection, collection.current)


def test_a_push_that_is_killed_goes_on_where_it_was(victim, tmp_path):
    collection = random_collection(tmp_path / "killed.dh", number=6000)
    address = f"milvus:{victim.uri}/killed"
    slowly = (
        "import sys, time; from deephash.index.milvus import contents, table; contents.BATCH_ROWS = 500\n"
        "put = table.Table.put\n"
        "def slow(self, rows): put(self, rows); print(len(rows), flush=True); time.sleep(0.2)\n"
        "table.Table.put = slow\n"
        "from deephash.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["collection", "push", str(collection.path), "--engine", address]
    process = subprocess.Popen([sys.executable, "-c", slowly, *words], stdout=subprocess.PIPE, text=True)
    for _ in range(3):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with pytest.raises(EngineUnavailable, match="not on the Milvus server"):
        _opened_at_most(collection, address, 1000)
    done = Pusher(collection, MilvusAddress.parse(address)).push()[0]
    assert 3000 <= done.written <= 4500  # what was sent is not sent again
    assert differs(collection, address) == {"missing": 0, "extra": 0, "different": 0}


def test_a_server_that_dies_during_a_push_is_waited_for_and_gets_all(victim, tmp_path, monkeypatch, caplog):
    collection = random_collection(tmp_path / "died.dh", number=2000)
    address = f"milvus:{victim.uri}/died"
    monkeypatch.setattr(contents, "BATCH_ROWS", 500)
    put, sent, again = Table.put, [], []

    def dying(self, rows):
        sent.append(len(rows))
        if len(sent) == 3:
            victim.kill()
            again.append(threading.Thread(target=victim.start_again))
            again[0].start()
        put(self, rows)

    monkeypatch.setattr(Table, "put", dying)
    done = Pusher(collection, MilvusAddress.parse(address)).push()[0]
    again[0].join()
    assert done.written == 2000
    assert any("trying again in" in record.message for record in caplog.records)
    assert differs(collection, address) == {"missing": 0, "extra": 0, "different": 0}


def _opened_at_most(collection: Collection, address: str, rows: int) -> None:
    pusher = Pusher(collection, MilvusAddress.parse(address))
    pusher.bring(collection.current, rows)


def test_a_server_that_is_killed_and_started_again_goes_on_answering(victim, tmp_path, caplog):
    collection = random_collection(tmp_path / "restarted.dh", number=50)
    address = f"milvus:{victim.uri}/restarted"
    Pusher(collection, MilvusAddress.parse(address)).push()
    searcher = Searcher.open(collection.path, index=address)
    query = Query.of(Part("code", BinaryCodes.from_bits(np.zeros((1, 20), bool))))
    before = searcher.ask(query, Options(10)).hits
    victim.kill()
    victim.start_again()
    assert searcher.ask(query, Options(10)).hits == before
    fresh = Searcher.open(collection.path, index=address)
    assert fresh.ask(query, Options(10)).hits == before


def test_while_a_server_is_away_it_is_said_how_long_is_waited(tmp_path, caplog):
    gone = MilvusAddress.parse(f"milvus:http://127.0.0.1:{free_port()}/x")
    impatient = Connection(gone, patience=0.5, pauses=(0.01, 0.02))
    began = time.monotonic()
    with pytest.raises(EngineUnavailable, match="does not answer") as away:
        impatient.call("searching", lambda client, timeout: client.list_collections(timeout=timeout))
    assert "Is the server running" in str(away.value)
    assert time.monotonic() - began < 20
    assert [record.message.rsplit("; ", 1)[1] for record in caplog.records] == [
        "trying again in 0.01 s",
        "trying again in 0.02 s",
    ]


def test_a_slow_network_that_drops_connections_changes_no_answer(victim, tmp_path):
    collection = random_collection(tmp_path / "slow.dh", number=200)
    with contextlib.closing(SlowProxy(victim.port, delay=0.05, drops=2)) as proxy:
        address = f"milvus:http://127.0.0.1:{proxy.port}/slow"
        Pusher(collection, MilvusAddress.parse(address)).push()
        code = BinaryCodes.from_bits(np.zeros((1, 20), bool))
        query = Query.of(Part("code", code))
        theirs = Searcher.open(collection.path, index=address).ask(query, Options(20)).hits
        assert proxy.dropped == 2
    assert theirs == Searcher.open(collection.path, index="scan").ask(query, Options(20)).hits
    assert differs(collection, f"milvus:{victim.uri}/slow") == {"missing": 0, "extra": 0, "different": 0}


def test_a_server_without_room_is_named_and_a_push_goes_on_later(victim, tmp_path, monkeypatch):
    collection = random_collection(tmp_path / "full.dh", number=20)
    address = MilvusAddress.parse(f"milvus:{victim.uri}/full")
    full = Connection(address)

    def refuse(client, timeout):
        from pymilvus import MilvusException

        raise MilvusException(message="quota exceeded[reason=disk quota exceeded, please allocate more resources]")

    with pytest.raises(EngineUnavailable, match="no room left") as refused:
        full.call("writing rows", refuse)
    assert "run the same command again" in str(refused.value)
    assert Pusher(collection, address).push()[0].written == 20


def test_a_server_that_is_too_old_is_refused(victim, monkeypatch):
    monkeypatch.setattr(connection, "OLDEST", (99, 0))
    with pytest.raises(EngineUnavailable, match=r"runs Milvus v2.3.5.*needs 99.0 or newer"):
        Connection(MilvusAddress.parse(f"milvus:{victim.uri}/x")).call("searching", lambda client, timeout: None)


def test_a_wrong_password_is_refused_and_never_shown(tmp_path, monkeypatch, capsys):
    from deephash.cli.main import main

    collection = random_collection(tmp_path / "secret.dh", number=5)
    with contextlib.closing(Server(tmp_path, COMMON_SECURITY_AUTHORIZATIONENABLED="true")) as guarded:
        words = ["collection", "push", str(collection.path), "--engine", f"milvus:{guarded.uri}"]
        monkeypatch.setenv("DEEPHASH_MILVUS_TOKEN", "root:hunter2hunter2")
        assert main(words) == 4
        said = capsys.readouterr()
        assert "refuses this user" in said.err
        assert "hunter2" not in said.err + said.out
        monkeypatch.setenv("DEEPHASH_MILVUS_TOKEN", "root:Milvus")
        assert main(words) == 0
