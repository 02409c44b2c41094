"""``deephash search`` and ``deephash serve`` as somebody types them, on real photographs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.paths import shared_data
from tests.web.collections import caltech_collection, caltech_folder, caltech_model

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    base = tmp_path_factory.mktemp("search")
    folder = caltech_folder(base / "photos", per_class=8)
    caltech_collection(base / "photos.dh", folder, caltech_model(folder, num_bits=60))
    return base


def deephash(*words, cwd, given=None):
    command = [sys.executable, "-m", "deephash.cli.main", *map(str, words)]
    return subprocess.run(command, cwd=cwd, input=given, capture_output=True, env=ENVIRONMENT, timeout=120)


def search(capfd, monkeypatch, folder, *words):
    """Run the command in this process: the same code, without the imports each time."""
    from deephash.cli.main import main

    monkeypatch.chdir(folder)
    code = main(["search", *map(str, words)])
    out, err = capfd.readouterr()
    return code, out, err


def test_a_table_for_people(capfd, monkeypatch, indexed):
    code, out, err = search(capfd, monkeypatch, indexed, "photos.dh", "photos/chair/image_0001.jpg", "-k", "3")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["#", "d", "sim", "is", "path"]
    word = r"nearer than chance, under 0\.01 expected"
    assert re.match(rf"\s*1\s+0\s+1\.000\s+{word}\s+chair/image_0001\.jpg\s+same code as the query$", lines[1])
    assert [line for line in lines if line.endswith("no nearer than chance from here on")] == lines[2:3]
    assert len(lines) == 5
    assert "60 bit" in err
    assert "64 items" in err
    assert "chance level for this collection" in err


def test_attributes_are_shown_beside_the_path(capfd, monkeypatch, indexed):
    code, out, _ = search(capfd, monkeypatch, indexed, "photos.dh", "id:3", "--show", "label, width", "-k", "3")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["#", "d", "sim", "is", "label", "width", "path"]
    assert re.search(r"  accordion  224    accordion/image_0006\.jpg", lines[1])
    assert lines[0].index("path") == lines[1].index("accordion/")
    code, out, err = search(capfd, monkeypatch, indexed, "photos.dh", "id:3", "--show", "labl")
    assert (code, out) == (2, "")
    assert "--show: no column 'labl'; did you mean 'label'?" in err


def test_what_could_steer_a_terminal_is_not_printed_from_an_attribute():
    from deephash.cli.search_table import WIDEST, _cell

    assert _cell("red\x1b[2Jshoes\n") == "red [2Jshoes "
    assert _cell("x" * 99) == "x" * (WIDEST - 1) + "…"
    assert (_cell(None), _cell(0.5), _cell(True)) == ("", "0.5", "True")


def test_json_for_programs(capfd, monkeypatch, indexed):
    code, out, _ = search(
        capfd, monkeypatch, indexed, "photos.dh", "id:3", "--json", "-k", "2", "--where", "label=bonsai"
    )
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [record["rank"] for record in records] == [1, 2]
    assert {record["attributes"]["label"] for record in records} == {"bonsai"}
    assert all(record["similarity"] == pytest.approx(1 - record["distance"] / 60, abs=1e-6) for record in records)


def test_paths_that_exist_separated_by_nul(capfd, monkeypatch, indexed):
    code, out, _ = search(capfd, monkeypatch, indexed, "photos.dh", "id:3", "--paths", "-0", "-k", "4")
    names = out.split("\0")
    assert code == 0
    assert len(names) == 5
    assert names[-1] == ""
    assert all(os.path.isfile(name) for name in names[:-1])


def test_nothing_within_the_distance_is_exit_code_one(capfd, monkeypatch, indexed):
    photo = sorted(shared_data("caltech101", "test", "dalmatian").iterdir())[0]
    code, out, err = search(capfd, monkeypatch, indexed, "photos.dh", photo, "--max-distance", "2")
    assert (code, out) == (1, "")
    assert re.search(r"no match within 2 bits \(nearest is \d+\)", err)


def test_plus_minus_folding_and_explanation(capfd, monkeypatch, indexed):
    words = ["photos.dh", "id:3", "--plus", "1:id:30", "--minus", "id:9", "--group-duplicates", "--explain", "-k", "5"]
    code, out, err = search(capfd, monkeypatch, indexed, *words)
    assert code == ("no match: the nearest" in err)  # a mixture need not be near to anything
    assert len(out.splitlines()) >= 2
    assert "engine: " in err
    assert "filter: " not in err
    assert re.search(r"query:  [0-9a-f]{16}", err)
    _, _, err = search(capfd, monkeypatch, indexed, "photos.dh", "id:3", "--explain", "--where", "width > 1")
    assert re.search(r"filter: list of ids: .* within some milliseconds; \d+ of \d+ items pass", err)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere.dh", "id:1"], 3, "nowhere.dh: no such collection"),
        (["photos.dh", "missing.jpg"], 3, "missing.jpg: no such file"),
        (["photos.dh", "two dogs"], 2, "reads pictures, not words"),
        (["photos.dh", "id:99999"], 2, "99999"),
        (["photos.dh", "id:cat"], 2, "id:123"),
        (["photos.dh", "id:1", "--where", "colour = red"], 2, "colour"),
        (["photos.dh", "id:1", "-k", "0"], 2, "at least 1"),
        (["photos.dh", "id:1", "--index", "flat"], 2, "did you mean"),
        (["photos.dh", "id:1", "--plus", "id:2", "--rerank", "9"], 2, "leave out the others"),
        (["photos.dh", "http://127.0.0.1:9/x.jpg"], 3, "save the picture"),
        (["photos.dh", "id:1", "--model", "photos"], 4, "model.json"),
        (["photos.dh"], 2, "give a query"),
        (["photos.dh", "id:1", "--text", "night"], 2, "give a query"),
        (["photos.dh", "--image", "nowhere"], 3, "--image nowhere: no such file"),
        (["photos.dh", "--image", "id:1", "--text", "night", "--beta", "7"], 2, "between 0 and 1, not 7"),
        (["photos.dh", "--image", "id:1", "--text", "night"], 2, "reads pictures, not words"),
    ],
)
def test_every_mistake_gets_a_sentence_and_a_code(capfd, monkeypatch, indexed, words, code, message):
    found, out, err = search(capfd, monkeypatch, indexed, *words)
    assert found == code
    assert message in err
    assert out == ""


def test_the_best_answer_is_opened(capfd, monkeypatch, indexed):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    code, *_ = search(capfd, monkeypatch, indexed, "photos.dh", "--image", "photos/chair/image_0001.jpg", "--open")
    assert code == 0
    assert opened == [(indexed / "photos" / "chair" / "image_0001.jpg").as_uri()]


def test_another_models_codes_are_not_compared(capfd, monkeypatch, indexed, tmp_path):
    caltech_model(indexed / "photos", num_bits=60, seed=5).save(tmp_path / "model")
    code, _, err = search(capfd, monkeypatch, indexed, "photos.dh", "id:1", "--model", tmp_path / "model")
    assert code == 4
    assert "holds codes of the model" in err
    assert "deephash index PICTURES" in err


def test_a_picture_on_standard_input(indexed):
    data = (indexed / "photos" / "chair" / "image_0001.jpg").read_bytes()
    done = deephash("search", "photos.dh", "-", "-k", "1", "--json", cwd=indexed, given=data)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["path"] == "chair/image_0001.jpg"


def test_serve_answers_and_stops_on_interrupt(indexed):
    words = ["-m", "deephash.cli.main", "serve", "photos.dh", "--port", "0", "--read-only"]
    with subprocess.Popen([sys.executable, *words], cwd=indexed, stderr=subprocess.PIPE, env=ENVIRONMENT) as server:
        try:
            assert server.stderr is not None
            told = server.stderr.readline().decode()
            address = re.search(r"http://127\.0\.0\.1:\d+/", told)
            assert address, told
            for _ in range(100):
                try:
                    with urllib.request.urlopen(address[0] + "api/stats", timeout=10) as answer:
                        stats = json.load(answer)
                    break
                except OSError:
                    time.sleep(0.2)
            assert stats["read_only"]
            assert stats["collections"][0]["items"] == 64
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
    assert server.returncode in (0, 130)


def test_serve_without_a_collection_or_with_half_credentials(capfd):
    from deephash.cli.main import main

    assert main(["serve"]) == 2
    assert "no collection" in capfd.readouterr().err
    assert main(["serve", "x.dh", "--user", "me"]) == 2
    assert "--user and --password go together" in capfd.readouterr().err
