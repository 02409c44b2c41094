"""What a configuration is expected to give: the key ``expected`` of an experiment file, and what to measure for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from deephash.errors import UsageError, did_you_mean
from deephash.evaluation.settings import Settings
from deephash.foreign import refused_as, require_schema
from deephash.reports.protocol import Protocol

KEY = "expected"
FORM = """\
expected:
  mAP@all: 0.985      # mean over the seeds; any metric of deephash evaluate, of words and pictures "mAP@all t2i"
  tolerance: 0.01     # how far a mean found elsewhere may lie from it
  spread: 0.002       # optional: sample standard deviation over the seeds
  seeds: [0, 1, 2]
  protocol: "..."     # the line that deephash evaluate prints: which split, ties, length
  source: "..."       # where the figure is published"""

_OTHERS = ("tolerance", "spread", "seeds", "protocol", "source")
_METRICS = ("mAP", "P", "R", "hit", "F1", "kNN", "NDCG")
_METRIC = re.compile(r"(?P<family>[A-Za-z0-9]+)@(?P<cut>all|\d+|H<=\d+)(?: (?P<task>i2t|t2i|i2i|t2t))?")


@dataclass(frozen=True)
class Expected:
    """What is expected of a configuration.

    Attributes:
        figures: metric -> mean over the seeds.
        tolerance: how far a mean found elsewhere may lie from it.
        seeds: it was measured with.
        spread: sample standard deviation over these seeds, of the first metric; None where nobody said.
        protocol: of the first metric; None where nobody said.
        source: where the figures are published; empty where nobody said.
    """

    figures: dict[str, float]
    tolerance: float
    seeds: tuple[int, ...] = (0,)
    spread: float | None = None
    protocol: Protocol | None = None
    source: str = ""

    def tasks(self) -> dict[str | None, list[str]]:
        """Return task -> metrics, without the task in their names; None is the task a model has by itself."""
        found: dict[str | None, list[str]] = {}
        for name in self.figures:
            metric, _, task = name.partition(" ")
            found.setdefault(task or None, []).append(metric)
        return found

    def settings(self) -> Settings:
        """Return what must be measured, by the conventions of the protocol."""
        cuts = [_parts(name) for name in self.figures]
        tops = {int(cut) for family, cut in cuts if family == "mAP" and cut.isdecimal()}
        radii = {int(cut[3:]) for _, cut in cuts if cut.startswith("H<=")}
        ranks = {int(cut) for family, cut in cuts if family in ("P", "R", "hit") and cut.isdecimal()}
        if len(tops) > 1 or (tops and "mAP@all" in self.figures) or len(radii) > 1:
            raise UsageError(f"{KEY} can name one cut-off of mAP and one radius, as one report does")
        known = self.protocol or Protocol()
        return Settings(
            top_k=min(tops, default=None),
            ties=known.ties,
            normalize=cast(Any, known.normalize),
            empty=cast(Any, known.empty),
            radius=min(radii, default=2),
            ranks=tuple(sorted({1, 10, 100} | ranks)),
        )


def expected_of(settings: Mapping[str, Any], source: str | Path) -> Expected:
    """Return what a configuration expects.

    Args:
        settings: of the configuration, as :func:`~deephash.training.configurations.read_settings` returns them.
        source: its name, for messages.

    Raises:
        UsageError: it expects nothing, and how to write that; or what it says is misspelt or of the wrong kind.
    """
    if settings.get(KEY) is None:
        raise UsageError(
            f"{source} does not say what is expected of it. Measure it (deephash train --config {source} --seeds 3, "
            f"then deephash evaluate RUN RUN RUN), and write into the file:\n\n{FORM}"
        )
    said = settings[KEY]
    for name in said if isinstance(said, dict) else ():
        _require_known(str(name), source)
    with refused_as(UsageError, f"the form is:\n\n{FORM}"):
        require_schema(said, "expected", f"{KEY} of {source}")
    figures = {name: float(value) for name, value in said.items() if "@" in name}
    if not figures:
        raise UsageError(f"{KEY} of {source} names no figure, such as mAP@all. The form is:\n\n{FORM}")
    seeds = tuple(said.get("seeds", (0,)))
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"{KEY} of {source} has a seed twice: {', '.join(map(str, seeds))}")
    protocol = Protocol.parse(said["protocol"]) if "protocol" in said else None
    found = Expected(figures, float(said["tolerance"]), seeds, said.get("spread"), protocol, said.get("source", ""))
    found.settings()  # so that what cannot be measured is told before training
    return found


def without_expected(config: str) -> str:
    """Return a configuration, a file or its text, as training reads it: without ``expected``.

    The text is cut, not written anew: numbers such as 1e-4 are read by another rule there than YAML's own.
    """
    is_text = "\n" in config
    text = config if is_text else Path(config).read_text(encoding="utf8")
    node = yaml.compose(text, yaml.SafeLoader)
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value != KEY:
            continue
        if node.flow_style:
            rest: str = yaml.safe_dump({name: each for name, each in yaml.safe_load(text).items() if name != KEY})
            return rest
        return f"{text[: key.start_mark.index]}{text[value.end_mark.index :]}\n"
    return config


def _parts(name: str) -> tuple[str, str]:
    found = _METRIC.fullmatch(name)
    if found is None or found["family"] not in _METRICS:
        raise UsageError(f"{KEY}: {name!r} is no metric; one is mAP@all, mAP@1000, P@100, P@H<=2 or mAP@all t2i")
    return found["family"], found["cut"]


def _require_known(name: str, source: str | Path) -> None:
    if "@" in name:
        _parts(name)
    elif name not in _OTHERS:
        raise UsageError(f"{KEY} of {source} has an unknown entry {name!r}{did_you_mean(name, list(_OTHERS))}")
