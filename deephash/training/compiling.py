"""CompiledBackbones: torch.compile of the networks that learn, for the time of training only."""

from __future__ import annotations

from lightning import Callback, LightningModule, Trainer

from deephash.errors import UsageError
from deephash.models import HashModel


class CompiledBackbones(Callback):
    """Compiles each backbone that learns; names of weights stay, so that a saved model loads where nothing compiles.

    A frozen backbone is left alone: its features are computed once.

    Args:
        backend: of ``torch.compile``.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self.backend = backend

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compile; torch does so when the first batch comes."""
        encoders = pl_module.encoders.values() if isinstance(pl_module, HashModel) else ()
        learning = [each for each in encoders if any(weight.requires_grad for weight in each.parameters())]
        if not learning:
            raise UsageError(
                f"--compile compiles the backbones that learn, and {type(pl_module).__name__} has none here: features "
                "of frozen ones are computed once. Leave it out"
            )
        for encoder in learning:
            encoder.compile(backend=self.backend)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Go back to the plain network."""
        if isinstance(pl_module, HashModel):
            for encoder in pl_module.encoders.values():
                encoder._compiled_call_impl = None
