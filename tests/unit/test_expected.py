"""What a configuration may say it is expected to give, and everything wrong with that."""

import pytest
import yaml

from deephash.errors import DataError, UsageError
from deephash.reports.protocol import Protocol
from deephash.reports.spread import spread_of
from deephash.training.configurations import find_config, read_settings, shipped_configs
from deephash.training.expected import expected_of, without_expected
from deephash.training.reproducing import Finding, claim, reproduce, write_record

NOTHING_RANDOM = ("pca_sign/cifar10_jpeg_64",)  # one seed says all
GOOD = {"mAP@all": 0.5, "P@5 t2i": 0.25, "P@H<=3": 0.1, "tolerance": 0.01, "seeds": [0, 2], "source": "a page"}


def read(**said):
    return expected_of({"expected": {**GOOD, **said}}, "mine.yaml")


def test_everything_that_can_be_said():
    protocol = Protocol(ties="stable", normalize="min", num_bits=16)
    found = read(protocol=str(protocol), spread=0.001)
    assert found.figures == {"mAP@all": 0.5, "P@5 t2i": 0.25, "P@H<=3": 0.1}
    assert (found.seeds, found.spread, found.protocol) == ((0, 2), 0.001, protocol)
    assert found.tasks() == {None: ["mAP@all", "P@H<=3"], "t2i": ["P@5"]}
    settings = found.settings()
    assert (settings.top_k, settings.ties, settings.normalize, settings.radius) == (None, "stable", "min", 3)
    assert 5 in settings.ranks


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"tolerence": 0.1}, "unknown entry 'tolerence'; did you mean 'tolerance'"),
        ({"tolerance": 0}, "tolerance is 0; it can be above 0"),
        ({"tolerance": "small"}, "tolerance is 'small', which is not a number"),
        ({"mAP@all": 98.5}, "mAP@all is 98.5; it can be at most 1"),
        ({"mAP@every": 0.5}, "'mAP@every' is no metric"),
        ({"accuracy@1": 0.5}, "'accuracy@1' is no metric"),
        ({"mAP@100": 0.5}, "one cut-off of mAP"),
        ({"seeds": [0, 0]}, "a seed twice"),
        ({"seeds": []}, "seeds has a length of 0"),
        ({"seeds": [0.5]}, "not a whole number"),
        ({"protocol": "digits"}, "no protocol string"),
        ({"source": 3}, "source is 3, which is not text"),
    ],
)
def test_mistakes_are_named_before_training(said, message):
    with pytest.raises(UsageError, match=message):
        read(**said)


@pytest.mark.parametrize("said", [None, [], "0.98", {}, {"tolerance": 0.1}, {"mAP@all": 0.5}])
def test_nothing_expected_says_how_to_write_it(said):
    with pytest.raises(UsageError, match=r"tolerance: 0.01"):
        expected_of({"expected": said}, "mine.yaml")


BLOCK = 'model:\n  x: 1e-4\n\nexpected:\n  mAP@all: 0.5\n  # a remark\n  tolerance: .1\n\ndata: {root: "a"}\n'


@pytest.mark.parametrize(
    "text",
    [
        BLOCK,
        BLOCK.replace(
            "expected:\n  mAP@all: 0.5\n  # a remark\n  tolerance: .1", "expected: {mAP@all: .5, tolerance: .1}"
        ),
        'data: {root: "a"}\nmodel: {x: 1e-4}\nexpected:\n  mAP@all: 0.5\n  tolerance: .1',
        'data: {root: "a"}\nmodel: {x: 1e-4}\nexpected:\n',
        '{data: {root: "a"}, expected: {mAP@all: .5}, model: {x: 1e-4}}\n',
        'data: {root: "a"}\nmodel: {x: 1e-4}\n',
    ],
)
def test_training_reads_all_but_what_is_expected(text, tmp_path):
    (tmp_path / "mine.yaml").write_text(text)
    for given in (text, str(tmp_path / "mine.yaml")):
        left = without_expected(given)
        content = yaml.safe_load(left if "\n" in left else open(left).read())  # noqa: SIM115
        assert content == {"data": {"root": "a"}, "model": {"x": "1e-4"}}


def test_shipped_figures_can_be_read_and_compared():
    """Each says protocol and source, was measured with three seeds, and its tolerance is above chance."""
    carrying = [name for name in shipped_configs() if "expected" in read_settings(find_config(name))]
    for name in carrying:
        said = expected_of(read_settings(find_config(name)), name)
        assert said.protocol is not None
        assert said.protocol.num_bits == read_settings(find_config(name))["model"]["init_args"]["num_bits"]
        assert said.source
        assert len(said.seeds) >= 3 or name in NOTHING_RANDOM
        assert 2 * (said.spread or 0) <= said.tolerance <= 0.2
    assert {name for name in shipped_configs() if "/digits_" in name} <= set(carrying)


# The loop, with a training step of paper ---------------------------------------------------------------


def made(run, status="finished"):
    (run / "model").mkdir(parents=True)
    (run / "model" / "model.json").write_text("{}")
    (run / "run.json").write_text(f'{{"status": "{status}"}}')


class Report:
    method = "Paper"

    def __init__(self, value):
        self.value = value

    def figure(self, metric):
        return PaperFigure(self.value)


class PaperFigure:
    protocol = Protocol(num_bits=16, split="sha256:1", transform="16px:1")

    def __init__(self, value):
        self.value = value


def test_what_is_finished_is_not_trained_again(tmp_path):
    expected = expected_of({"expected": {"mAP@all": 0.5, "tolerance": 0.1, "seeds": [0, 1, 2]}}, "x")
    trained = []

    def train(seed, run, resume):
        if seed == 2 and len(trained) < 3:
            run.mkdir()
            (run / "last.ckpt").write_text("")
            (run / "config.yaml").write_text("")
            trained.append("stopped")
            raise KeyboardInterrupt
        trained.append((seed, resume))
        made(run)

    ask = {"train": train, "score": lambda run, task: Report(0.4 + 0.1 * int(run.name[-1]))}
    with pytest.raises(KeyboardInterrupt):
        reproduce(expected, expected.seeds, tmp_path, **ask)
    found = reproduce(expected, expected.seeds, tmp_path, **ask)
    assert trained == [(0, False), (1, False), "stopped", (2, True)]
    assert found.findings[0].found.values == pytest.approx((0.4, 0.5, 0.6))
    assert found.succeeded


@pytest.mark.parametrize(
    ("said", "differ"),
    [
        ({"num_bits": 16}, set()),
        ({"num_bits": 16, "transform": "128px:0"}, {"transform"}),
        ({"num_bits": 16, "ties": "stable"}, {"ties"}),
        ({"num_bits": 32}, {"num_bits"}),
        ({"num_bits": 16, "split": "sha256:0"}, {"split"}),
    ],
)
def test_what_a_published_protocol_leaves_unknown_is_not_held_against_it(said, differ, tmp_path):
    made(tmp_path / "seed_0")
    expected = expected_of(
        {"expected": {"mAP@all": 0.5, "tolerance": 0.1, "protocol": str(Protocol(**said))}}, "mine.yaml"
    )
    found = reproduce(expected, [0], tmp_path, train=None, score=lambda run, task: Report(0.5))
    assert set(found.differences) == differ
    assert found.succeeded == (not differ)


def test_a_model_without_a_checkpoint_is_refused(tmp_path):
    made(tmp_path / "seed_0", status="running")
    with pytest.raises(DataError, match="neither be resumed nor begun anew"):
        reproduce(read(), [0], tmp_path, train=None, score=None)


@pytest.mark.parametrize(("found", "within"), [((0.51,), True), ((0.489,), False), ((0.4, 0.61), True)])
def test_the_mean_is_what_must_be_within(found, within):
    assert Finding("mAP@all", 0.5, spread_of(found), 0.01).within == within


def test_a_folder_belongs_to_one_configuration(tmp_path):
    folder = tmp_path / "out"
    record = claim(folder, "a: 1", ["--weights=x"])
    write_record(folder, record)
    assert claim(folder, "a: 1", ["--weights=x"]) == record
    for text, words in (("a: 2", ["--weights=x"]), ("a: 1", [])):
        with pytest.raises(UsageError, match="another configuration"):
            claim(folder, text, words)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(UsageError, match="not empty"):
        claim(tmp_path / "full", "a: 1", [])
