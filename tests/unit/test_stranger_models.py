"""A stranger's model folder: it opens nothing outside of itself, asks no network, and is no larger than its weights."""

import contextlib
import json
import socket
import sys
import threading

import pytest
import torch
from safetensors.torch import save_file

from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.errors import CollectionDamaged, UsageError, WeightsNotFound
from deephash.foreign.network import ALLOW, without_network
from deephash.models import OrthoHash, load_model
from deephash.models.allocation import AllocationLimit

OPENED: list[str] = []
LISTENING = threading.Event()


def _listen(event, arguments):
    if event == "open" and LISTENING.is_set() and isinstance(arguments[0], (str, bytes)):
        OPENED.append(str(arguments[0]))


sys.addaudithook(_listen)  # stays for the life of the process, silent unless LISTENING


@contextlib.contextmanager
def opened_files():
    OPENED.clear()
    LISTENING.set()
    try:
        yield OPENED
    finally:
        LISTENING.clear()


@pytest.fixture
def asked(monkeypatch):
    """Every address that anybody asks for, and no network."""
    found = []

    def refuse(*address, **_):
        found.append(address)
        raise socket.gaierror("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv(ALLOW, raising=False)
    return found


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    OrthoHash(16, 3, Backbone("timm:test_resnet", weights=None, image_size=64)).save(tmp_path / "model")
    return tmp_path / "model"


def describe(folder, **entries):
    record = json.loads((folder / "model.json").read_text())
    record["init_args"]["backbone"] |= entries
    (folder / "model.json").write_text(json.dumps(record))


@pytest.mark.parametrize("weights", ["hub", "r160_in1k", "FILE", "http://127.0.0.1:9/weights.safetensors", "~/x.pth"])
def test_the_weights_are_those_of_the_folder_whatever_it_names(weights, saved, tmp_path, asked):
    decoy = tmp_path / "decoy.safetensors"
    save_file({"x": torch.zeros(1)}, decoy)
    before = load_model(saved).fingerprint()
    describe(saved, weights=str(decoy) if weights == "FILE" else weights)
    with opened_files() as opened:
        loaded = load_model(saved)
    assert loaded.fingerprint() == before
    assert loaded.encoders["image"].spec.weights is None
    assert asked == []
    data = [path for path in opened if not path.endswith((".py", ".pyc", ".so")) and "site-packages" not in path]
    assert [path for path in data if not path.startswith(str(saved))] == []
    assert str(saved / "model.json") in data


def test_downloads_are_for_whoever_allows_them(saved, asked, monkeypatch):
    describe(saved, weights="hub")
    monkeypatch.setenv(ALLOW, "1")
    with pytest.raises(WeightsNotFound, match="could not be fetched"):
        load_model(saved)
    assert asked


def test_the_command_says_allow_download_anywhere(saved, asked, monkeypatch, capsys):
    monkeypatch.setenv(ALLOW, "0")
    assert main(["models", "info", str(saved), "--allow-download"]) == 0
    assert "timm:test_resnet" in capsys.readouterr().out
    monkeypatch.setenv(ALLOW, "0")


def test_the_card_says_that_nothing_is_fetched(saved):
    card = (saved / "README.md").read_text()
    assert "fetches nothing" in card
    assert "--allow-download" in card


@pytest.mark.parametrize(
    "options",
    [
        {"pretrained_cfg": {"file": "/etc/passwd"}},
        {"checkpoint_path": "/etc/passwd"},
        {"cache_dir": "x"},
        {"text_cfg": {"hf_model_name": "evil/model"}},
        {"layers": [{"url": "x"}]},
        {"name": "../../x"},
    ],
)
def test_options_by_which_libraries_read_other_files_are_refused(options, saved, asked):
    describe(saved, options=options)
    with pytest.raises(CollectionDamaged, match="--allow-download lets it"):
        load_model(saved)
    assert asked == []


def test_no_connection_is_made_meanwhile_whoever_tries():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with without_network(), pytest.raises(OSError, match="fetches nothing"):
            socket.create_connection(server.getsockname(), timeout=5)
        with without_network(), pytest.raises(OSError, match="fetches nothing"):
            socket.getaddrinfo("localhost", 80)
        socket.create_connection(server.getsockname(), timeout=5).close()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("features:999999999999", "describes a network of|does not fit"),
        ("small_cnn:1000000", "describes a network of"),
        ("cifar_resnet:600000002", "describes a network of"),
        ("timm:vit_giant_patch14_224", "describes a network of"),
        ("mobilenet_v1:1e30", "describes a network of|cannot be loaded"),
    ],
)
def test_a_network_beyond_its_weights_is_not_built(name, says, tmp_path, asked):
    OrthoHash(16, 3, Backbone("features:8", weights=None)).save(tmp_path / "model")
    describe(tmp_path / "model", name=name)
    with pytest.raises(CollectionDamaged, match=says):
        load_model(tmp_path / "model")


def test_stages_of_any_size_cost_no_picture(asked):
    with AllocationLimit(0, 1000, "x"):
        built = Backbone("timm-stages:test_resnet", weights=None, image_size=4096).build()
    assert built.stage_shapes[0][1] in (256, 512, 1024)


def test_the_limit_counts_what_is_alive():
    with AllocationLimit(0, 0, "x"):
        for _ in range(100):
            torch.zeros(2**20)  # 4 MiB, given back
        with pytest.raises(CollectionDamaged, match="x describes a network of"):
            [torch.zeros(2**20) for _ in range(100)]
        with pytest.raises(CollectionDamaged):
            torch.ones(1, 1).repeat(10_000, 10_000)


def test_too_many_small_tensors_are_refused():
    with AllocationLimit(0, 0, "x"), pytest.raises(CollectionDamaged, match="tensors so far"):
        [torch.zeros(1) for _ in range(5000)]


@pytest.mark.parametrize("name", ["features:8", "small_cnn:2", "cifar_resnet:20", "mobilenet_v1:0.25"])
def test_options_that_nobody_knows_are_refused(name):
    with pytest.raises(UsageError, match=r"has no option 'colour' \(it takes none\)"):
        Backbone(name, weights=None, options={"colour": 1}).build()


@pytest.mark.parametrize("name", ["timm:test_resnet", "torchvision:resnet18"])
def test_options_of_other_libraries_are_theirs_to_refuse(name):
    with pytest.raises(UsageError, match="cannot be built with"):
        Backbone(name, weights=None, options={"colour": 1}).build()


def test_bits_are_said_twice_alike(tmp_path):
    OrthoHash(16, 3, Backbone("features:8", weights=None)).save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_bits": 8}))
    with pytest.raises(CollectionDamaged, match="8 bits x 1 in one place and 16 x 1 in another"):
        load_model(tmp_path / "model")


def test_buffers_have_the_shape_of_the_network(tmp_path):
    OrthoHash(16, 3, Backbone("features:8", weights=None)).save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    record = json.loads(path.read_text())
    record["init_args"]["num_classes"] = 5
    path.write_text(json.dumps(record))
    with pytest.raises(CollectionDamaged, match="does not fit OrthoHash: targets"):
        load_model(tmp_path / "model")


def test_the_hub_is_offline_until_the_last_thread_leaves():
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    inside, leave = threading.Barrier(3), threading.Event()
    seen = []

    def load(first):
        with without_network():
            inside.wait(10)
            if not first:
                leave.wait(10)
                seen.append(constants.HF_HUB_OFFLINE)

    threads = [threading.Thread(target=load, args=(first,)) for first in (True, False)]
    for thread in threads:
        thread.start()
    inside.wait(10)
    threads[0].join(10)
    leave.set()
    threads[1].join(10)
    assert seen == [True]
    assert before == constants.HF_HUB_OFFLINE
