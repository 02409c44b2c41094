"""What a configuration that cannot be read means: jsonargparse's messages as one sentence with a near name."""

from __future__ import annotations

import inspect
import re
import sys

from lightning import Trainer

import deephash.data
import deephash.models
from deephash.errors import DeephashError, UsageError, did_you_mean


def explained(error: BaseException) -> UsageError | DeephashError:
    """Return the cause as one sentence: our own error where one lies below, else the option that is wrong."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DeephashError):
            return cause
        cause = cause.__cause__ or cause.__context__
    text = str(error)
    unknown = re.search(r"[Oo]ption '([\w.]+)' is not accepted|does not accept option '([\w.]+)'", text)
    unknown = unknown or re.search(r"unrecognized arguments: (?:--)?([\w.\-]+)", text)
    if unknown:
        name = next(group for group in unknown.groups() if group)
        return UsageError(f"unknown option {name!r}" + did_you_mean(name.split(".")[-1], _valid_names(name, text)))
    missing = re.search(r"Expected a dot import path string: (\S+)", text)
    if missing:
        classes = [name for module in (deephash.models, deephash.data) for name in module.__all__]
        return UsageError(f"there is no class {missing[1]!r}" + did_you_mean(missing[1], classes))
    return UsageError(_innermost(text))


def _valid_names(name: str, text: str) -> list[str]:
    """Return the options that ``name`` may have meant, judged by where it stood."""
    # the innermost first: an option of the optimizer is none of the model's; a bare base class has none to offer
    for path in reversed(re.findall(r"class_path '([\w.]+)'", text)):
        module, _, last = path.rpartition(".")
        cls = getattr(sys.modules.get(module), last, None)
        if cls is not None and cls.__init__ is not object.__init__:
            return [key for key in inspect.signature(cls.__init__).parameters if key != "self"]
    if name.startswith("trainer.") or "Group 'trainer'" in text:
        return [key for key in inspect.signature(Trainer.__init__).parameters if key != "self"]
    return ["config", "bits", "seed", "seeds", "epochs", "backbone", "weights", "out", "resume", "fast-dev-run", "json",
            "model", "data", "trainer", "seed_everything"]  # fmt: skip


def _innermost(text: str) -> str:
    """Return jsonargparse's message without the parts that describe its own types."""
    noise = ("Does not validate", "Subtypes:", "Errors:", "Given value", "- Expected a <class 'NoneType'>")
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith(noise)]
    return " ".join(kept) or text
