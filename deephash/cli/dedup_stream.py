"""``deephash dedup SOURCE --stream``: which items were seen before, for sets that fit no memory."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deephash.cli.output import note, print_json
from deephash.errors import DataError, DeephashError, UsageError

if TYPE_CHECKING:
    from deephash.index.seen_stream import SeenStream
    from deephash.ingest.streaming import Passed

RATE = 1e-4
MODEL = "phash:256"
CODE_FILES = (".npz", ".npy")
_SAVE_EVERY = 60.0  # seconds


@dataclass(frozen=True)
class Streaming:
    """What was asked for; see :func:`deephash.cli.dedup.dedup`."""

    items: int | None = None
    rate: float | None = None
    bands: int | None = None
    filter: Path | None = None
    model: str | None = None


def dedup_stream(source: Path, asked: Streaming, out: Path | None, json: bool) -> int:
    """Print the items that were seen before; return 0 where there are any."""
    if asked.items is None and (asked.filter is None or not asked.filter.exists()):
        raise UsageError("--stream makes its filter for a number of items: give --items N, all that may ever come")
    stream = _Stream(asked)
    batches = _batches(source, stream)
    with _deferred() as stopped, _Lines(out, json) as lines:
        try:
            for batch in batches:
                _take(batch, stream, lines)
                if stopped or stream.is_due():
                    stream.save(lines.position())
                if stopped:
                    raise KeyboardInterrupt
        except DeephashError:  # raised between two batches, so that what was done before is whole
            stream.save(lines.position())
            raise
        stream.save(lines.position())
    return _told(stream)


def _take(batch: Passed, stream: _Stream, lines: _Lines) -> None:
    state = stream.state
    assert state is not None
    lines.begin(state)
    seen = state.take(batch.keys, batch.codes)
    lines.write([name for name, is_seen in zip(batch.names, seen, strict=True) if is_seen])
    stream.passed(batch, int(seen.sum()))


class _Stream:
    """The state, opened once the length of the codes is known, kept in a file from time to time."""

    def __init__(self, asked: Streaming) -> None:
        self.asked = asked
        self.count = self.seen = self.again = self.unread = 0
        self.first_unread = ""
        self.state: SeenStream | None = None
        self.started = self._saved = time.monotonic()
        self._bar: Any = None

    def open(self, model: str, num_bits: int) -> SeenStream:
        from deephash.index.seen_stream import SeenStream
        from deephash.progress import open_bar

        asked, file = self.asked, self.asked.filter
        if file is not None and file.exists():
            self.state = SeenStream.load(file, model, num_bits, asked.items, asked.rate)
            if asked.bands not in (None, self.state.plan.bands):
                raise UsageError(f"{file} was made with --bands {self.state.plan.bands}, not {asked.bands}")
        else:
            assert asked.items is not None
            rate = RATE if asked.rate is None else asked.rate
            self.state = SeenStream(model, num_bits, asked.items, rate, asked.bands)
        self._bar = open_bar("looking", total=self.state.items, unit="item", initial=self.state.looked)
        return self.state

    def passed(self, batch: Passed, seen: int) -> None:
        count = len(batch.names)
        self.count, self.seen, self.again = self.count + count, self.seen + seen, self.again + batch.again
        if batch.unreadable and not self.unread:
            self.first_unread = ": ".join(next(iter(batch.unreadable.items())))
        self.unread += len(batch.unreadable)
        for _ in range(count):
            self._bar.update()

    def is_due(self) -> bool:
        return self.asked.filter is not None and time.monotonic() - self._saved > _SAVE_EVERY

    def save(self, told: int) -> None:
        if self.asked.filter is not None and self.state is not None:
            self.state.told = told
            self.state.save(self.asked.filter)
        self._saved = time.monotonic()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _batches(source: Path, stream: _Stream) -> Iterator[Passed]:
    from deephash.ingest.streaming import code_stream, picture_stream, pipe_stream

    def of_codes(num_bits: int) -> SeenStream:
        return stream.open("codes made elsewhere", num_bits)

    if str(source) == "-":
        return pipe_stream(sys.stdin, of_codes)
    if source.suffix.lower() in CODE_FILES and source.is_file():
        return code_stream(source, of_codes)
    from deephash.cli.choosing import model_named
    from deephash.collection.card import is_collection
    from deephash.collection.sources.every import require_pictures_at
    from deephash.encoding import open_encoder

    require_pictures_at(source)
    if is_collection(source):
        raise UsageError(f"{source} is a collection, whose copies are found exactly: deephash dedup {source}")
    name = stream.asked.model or MODEL
    encoder = open_encoder(model_named(name))
    if encoder.num_levels > 1:
        raise UsageError(f"{name} has codes of {encoder.num_levels} levels; --stream takes flat ones")
    return picture_stream(source, encoder, stream.open(f"{name} {encoder.fingerprint()}", encoder.num_bits))


class _Lines:
    """Where the seen items are told: stdout, or a file that a run goes on with where the filter's last save was."""

    def __init__(self, out: Path | None, json: bool) -> None:
        self._out, self._json = out, json
        self._file: Any = None

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def begin(self, state: SeenStream) -> None:
        if self._out is None or self._file is not None:
            return
        try:
            self._file = self._out.open("r+b" if state.told and self._out.exists() else "wb")
        except OSError as error:
            raise DataError(f"{self._out} cannot be written: {error.strerror}") from None
        self._file.truncate(min(state.told, self._file.seek(0, 2)))
        self._file.seek(0, 2)

    def write(self, names: list[str]) -> None:
        if self._file is None:
            for name in names:
                print_json({"path": name}) if self._json else print(name)
            return
        from json import dumps

        told = [dumps({"path": name}) if self._json else name for name in names]
        self._file.write("".join(f"{line}\n" for line in told).encode("utf-8", "surrogateescape"))

    def position(self) -> int:
        if self._file is None:
            sys.stdout.flush()
            return 0
        self._file.flush()
        return int(self._file.tell())


@contextmanager
def _deferred() -> Iterator[list[int]]:
    """Let Ctrl-C and an end by the system wait for the batch in work; a second Ctrl-C ends at once."""
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        if stopped:
            raise KeyboardInterrupt
        stopped.append(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _told(stream: _Stream) -> int:
    stream.close()
    state, seconds = stream.state, time.monotonic() - stream.started
    if state is None or not (stream.count or stream.again or stream.unread):
        note("the stream is empty: there is nothing to look at")
        return 1
    if stream.unread:
        note(f"{stream.unread:,} pictures cannot be read and are left out; the first: {stream.first_unread}")
    if stream.again:
        note(f"{stream.again:,} items were looked at in a run before and are passed over")
    plan = state.plan
    note(
        f"{stream.count:,} items looked at ({stream.count / max(seconds, 1e-9):,.0f}/s), {stream.seen:,} seen before; "
        f"{state.looked:,} with all runs; room for {state.items:,}, {state.bytes_an_item():.1f} bytes each"
    )
    note(
        f"codes up to {plan.bands - 1} bits apart are never missed; of new items at most {state.rate:g} are taken for "
        f"seen ones when it is full, if their bits are uniform ({plan.bands} bands)"
    )
    looked, strangers, rate = state.by_sample()
    if rate > state.rate:
        note(
            f"they are not: of the first {looked:,} items {strangers:,} agree in a band with strangers only (more than "
            f"an eighth of the bits away), which comes to {rate:.2g} when all are in. Fewer --bands or longer codes "
            "flag fewer; look at what is flagged (deephash dedup) before you drop it"
        )
    return 0 if stream.seen else 1
