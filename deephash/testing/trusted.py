"""A test trusts the code that it tests."""

from __future__ import annotations

from contextlib import AbstractContextManager

from deephash.foreign.trust import trusting
from deephash.models import HashModel


def trusting_own(model: HashModel) -> AbstractContextManager[None]:
    """Trust the modules of a model's class and of its networks meanwhile."""
    networks = [encoder.spec.name.rpartition(".")[0] for encoder in model.encoders.values()]
    own = [name for name in networks if name and ":" not in name]
    return trusting([type(model).__module__, *own])
