"""A data module from a description, ``{"class_path": ..., "init_args": {...}}``, which a stranger may have written.

Classes of deephash.data are built, and those of modules that the user trusts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deephash.errors import DataError, UsageError
from deephash.foreign import SMALL, read_bytes
from deephash.foreign.documents import MAX_DEPTH
from deephash.foreign.trust import named_object

if TYPE_CHECKING:
    from deephash.data.datamodule import HashDataModule


def build_data(description: Any, source: str | Path) -> HashDataModule:
    """Return the data module that ``description`` names; ``source`` is where it stands, for messages.

    Raises:
        DataError: it names none.
        UsageError: a class that is neither of deephash.data nor of a trusted module, or options it does not take.
    """
    from jsonargparse import ArgumentParser, Namespace

    from deephash.data.datamodule import HashDataModule

    try:
        names = class_paths(description)
    except RecursionError:
        raise DataError(f"{source} names no data set: it is too deep") from None
    foreign = [name for name in names if not name.startswith("deephash.data.")]
    if not names or any("." not in name or name.startswith("deephash.") for name in foreign):
        raise UsageError(f"{source}: a data set of deephash.data is needed, not {foreign[:1] or description}")
    for name in foreign:
        data_at(name, str(source))
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(HashDataModule, "data")
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes  # the older name
    try:
        built: Namespace = instantiate(parser.parse_object({"data": description}))
    except Exception as error:  # jsonargparse raises its own errors and the constructor's
        raise UsageError(f"{source}: {' '.join(str(error).split())}") from None
    module: HashDataModule = built.data
    return module


def data_at(path: str, said_by: str) -> type[HashDataModule]:
    """Return the data set ``MODULE.CLASS`` of a trusted module; ``said_by`` names it, for messages.

    Raises:
        UsageError: nobody trusts the module, which is not imported then; it has no such class; or that is no data set.
    """
    from deephash.data.datamodule import HashDataModule

    found = named_object(path, said_by)
    if not isinstance(found, type) or not issubclass(found, HashDataModule):
        raise UsageError(
            f"{said_by} names {path}, which is no data set: that is a class below deephash.data.HashDataModule, with "
            "read() and divide(); deephash new data NAME writes one"
        )
    return found


def class_paths(description: Any) -> list[str]:
    """Return every ``class_path`` in a description, at any depth."""
    if isinstance(description, list):
        return [name for each in description for name in class_paths(each)]
    if not isinstance(description, dict):
        return []
    own = [str(description["class_path"])] if "class_path" in description else []
    return own + [name for each in description.values() for name in class_paths(each)]


def read_configuration(file: Path) -> Any:
    """Return what a YAML file holds, without building anything; aliases, by which few lines become many, are refused.

    Raises DataError.
    """
    import yaml  # type: ignore[import-untyped]

    text = read_bytes(file, SMALL)
    try:
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH or isinstance(event, yaml.AliasEvent):
                raise DataError(f"{file} cannot be read: it is too deep, or repeats parts of itself by aliases (*name)")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{file} names no data set: it is no YAML: {reason or type(error).__name__}") from None
