"""An address names a server, a table and options; a password never stands in it."""

import pytest

from deephash.cli.engines import encoder_and_server
from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index import open_index
from deephash.index.milvus import MilvusAddress


def test_everything_is_read():
    text = "milvus:https://box:19530/pictures?kind=ivf&num_lists=64&nprobe=4&consistency=bounded&shards=2&database=lab"
    read = MilvusAddress.parse(text)
    assert read == MilvusAddress("https://box:19530", "pictures", "lab", "ivf", 64, 4, "bounded", 2)
    assert (read.host, read.index_type, read.is_exact) == ("box:19530", "BIN_IVF_FLAT", False)
    assert MilvusAddress.parse(str(read)) == read
    assert str(MilvusAddress.parse("milvus:http://box/x?nprobe=16")) == "milvus:http://box/x"


def test_a_collection_gives_the_name_where_there_is_none():
    bare = MilvusAddress.parse("milvus:http://box:19530")
    assert bare.named("my pictures-2").name == "my_pictures_2"
    assert bare.named("2024").name == "_2024"
    assert MilvusAddress.parse("milvus:http://box/mine").named("other").name == "mine"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("milvus:box:19530", "no address of a Milvus server"),
        ("milvus:ftp://box/x", "no address of a Milvus server"),
        ("milvus:http:///x", "no address of a Milvus server"),
        ("milvus:http://box/a-b", "cannot name a table"),
        ("milvus:http://box/a/b", "cannot name a table"),
        ("milvus:http://box/a?nprobes=3", "did you mean 'nprobe'"),
        ("milvus:http://box/a?nprobe=0", "nprobe is 1 to 65536"),
        ("milvus:http://box/a?nprobe=many", "nprobe is a whole number"),
        ("milvus:http://box/a?kind=hnsw", "kind is one of flat, ivf"),
        ("milvus:http://box/a?consistency=Strong", "consistency is one of strong"),
    ],
)
def test_what_is_wrong_is_said(text, says):
    with pytest.raises(UsageError, match=says):
        MilvusAddress.parse(text)


@pytest.mark.parametrize("text", ["http://root:hunter2@box:19530/x", "root:hunter2@box/x", "https:/root:hunter2@box/x"])
def test_a_password_in_an_address_is_refused_and_not_repeated(text):
    with pytest.raises(UsageError, match="DEEPHASH_MILVUS_TOKEN") as refused:
        MilvusAddress.parse(f"milvus:{text}")
    assert "hunter2" not in str(refused.value)


def test_an_engine_is_what_encodes_or_a_server():
    assert encoder_and_server("onnx") == ("onnx", None)
    assert encoder_and_server("milvus:http://box:1/x") == ("auto", "milvus:http://box:1/x")
    with pytest.raises(UsageError, match="did you mean 'torch'"):
        encoder_and_server("toch")


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("milvus:http://127.0.0.1:9", {}, "names no table"),
        ("milvus:http://127.0.0.1:9/x", {"threads": 2}, "has no option 'threads'"),
        ("milvus:http://127.0.0.1:9/x", {"nprobe": 0}, "at least 1"),
    ],
)
def test_bad_options_are_found_before_a_server_is_asked(kind, options, says):
    codes = BinaryCodes.from_bits([[0, 1, 1]])
    with pytest.raises(UsageError, match=says):
        open_index(kind, [1], codes, **options)


def test_codes_of_several_levels_are_refused():
    codes = BinaryCodes.from_bits([[[0, 1], [1, 1]]])
    with pytest.raises(UsageError, match="level"):
        open_index("milvus:http://127.0.0.1:9/x", [1], codes)
