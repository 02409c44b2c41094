"""Progress off a terminal: lines, no carriage returns, nothing of short jobs."""

import io
import sys

import pytest

from deephash import progress
from deephash.progress import Lines, open_bar, track, track_batches


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def run(clock, steps, seconds, **options):
    for _ in track(range(steps), "indexing", unit=" pictures", **options):
        clock[0] += seconds


def test_a_line_every_ten_seconds(clock, capsys):
    run(clock, 50, 1.0)
    said = capsys.readouterr().err
    assert "\r" not in said
    assert said.splitlines()[0] == "indexing: 10 of 50 pictures, 1/s, 0:40 left"
    assert len(said.splitlines()) == 5


def test_short_jobs_say_nothing(clock, capsys):
    run(clock, 50, 0.1)
    assert capsys.readouterr().err == ""


def test_quiet_is_quiet(clock, capsys, monkeypatch):
    monkeypatch.setenv("DEEPHASH_QUIET", "1")
    run(clock, 50, 9.0)
    assert capsys.readouterr().err == ""


def test_an_unknown_length_and_hours(clock, capsys):
    for _ in track(iter(range(3)), "reading"):
        clock[0] += 20
    assert capsys.readouterr().err.splitlines()[0] == "reading: 1 it, 0.05/s"
    run(clock, 400, 60.0)
    assert "1 of 400 pictures, 0.0167/s, 6:39:00 left" in capsys.readouterr().err


def test_batches_are_counted_by_what_is_in_them(clock, capsys):
    batches = [[1, 2, 3], [], [4]]
    got = []
    for batch in track_batches(batches, "x", total=4):
        got.append(batch)
        clock[0] += 11
    assert got == [[1, 2, 3], [4]]
    assert capsys.readouterr().err.splitlines()[-1].startswith("x: 4 of 4 it")
    assert list(track_batches(batches, "x", total=0)) == []


def test_figures_and_steps_that_were_done_before(clock, capsys):
    bar = open_bar("OrthoHash, 16 bits", total=40, unit="steps", initial=20)
    assert isinstance(bar, Lines)
    bar.set_postfix({"loss": "0.5"}, refresh=False)
    clock[0] += 10
    bar.update()
    bar.close()
    assert capsys.readouterr().err == "OrthoHash, 16 bits: 21 of 40 steps, 0.1/s, 3:10 left, loss 0.5\n"


def test_a_terminal_gets_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert list(track([1, 2], "indexing")) == [1, 2]
    assert "\rindexing: 100%" in screen.getvalue()


def test_a_listener_hears_every_step_and_nothing_is_printed(clock, capsys):
    heard = []
    with progress.told(lambda *step: heard.append(step)):
        run(clock, 2, 60.0)
    assert heard == [("indexing", 0, 2), ("indexing", 1, 2), ("indexing", 2, 2)]
    assert capsys.readouterr().err == ""
    run(clock, 1, 60.0)
    assert "indexing: 1 of 1" in capsys.readouterr().err
