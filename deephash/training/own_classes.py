"""Classes of one's own that a run names, imported and judged before LightningCLI sees them and before data are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from deephash.data.building import data_at
from deephash.foreign.trust import imported, is_trusted
from deephash.models.catalogue import method_at
from deephash.training.own_code import named_classes, named_in_words


def check_classes(configs: Sequence[str], words: Sequence[str]) -> None:
    """Import the methods and data sets of one's own that configurations and the command line name.

    Args:
        configs: files, or their text.
        words: paths into the configuration.

    Raises:
        UsageError: a module or a class that is not there or not trusted, or that is no method or no data set.
    """
    named = [("the command line", key, path) for key, path in named_in_words(words)]
    for config in configs:
        file = len(config) < 4096 and "\n" not in config and Path(config).is_file()
        content = yaml.safe_load(Path(config).read_text(encoding="utf8") if file else config)
        named += [(config if file else "the configuration", key, path) for key, path in named_classes(content)]
    for source, key, path in named:
        if path.startswith("deephash."):
            continue
        if key in ("model", "model.class_path"):
            method_at(path, source)
        elif key in ("data", "data.class_path"):
            data_at(path, source)
        elif is_trusted(path.rpartition(".")[0]):
            imported(path.rpartition(".")[0], source)  # a callback or a network, which may lie in the working folder
