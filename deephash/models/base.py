"""The few abstractions every hash model shares: forward, bits, encode, save."""

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from deephash.backbones import Backbone, Encoder
from deephash.codes import BinaryCodes
from deephash.encoding.record import FORMAT_VERSION
from deephash.errors import UsageError
from deephash.models.lightning_face import LightningFace
from deephash.numbers import whole

if TYPE_CHECKING:
    from deephash.collection.bit_certainty import BitCertainty
    from deephash.collection.pair_counts import PairCounts
    from deephash.collection.seen import SeenItems
    from deephash.encoding.targets import TargetTable

Inputs = Mapping[str, Tensor]


class Encoders(nn.ModuleDict):
    """One encoder a modality; a ModuleDict that knows its values' type."""

    if TYPE_CHECKING:

        def __getitem__(self, modality: str) -> Encoder: ...
        def items(self) -> ItemsView[str, Encoder]: ...  # noqa: D102
        def values(self) -> ValuesView[Encoder]: ...  # noqa: D102


class HashModel(LightningFace, ABC):
    """Turns pictures, texts or feature vectors into K-bit codes.

    ``inputs`` map a modality to its batch: ``{"image": [B, 3, H, W]}``, or ``{"image_features": [B, D]}`` where the
    output of a frozen backbone was cached. One modality, cross-modal (one key given) and multi-view (several keys)
    models share this signature. ``model(pictures)`` and ``model.encode(pictures)`` take a plain tensor as well.

    A subclass's ``__init__`` begins with ``super().__init__(num_bits, {...})`` and ``self.save_hyperparameters()``.

    Args:
        num_bits: K, code length, any K >= 1.
        backbones: one :class:`Backbone` for each modality the model can read.
    """

    modalities: ClassVar[tuple[str, ...]] = ("image",)
    training_only: ClassVar[tuple[str, ...]] = ()  # arguments that change no code once the weights are given
    supervised: ClassVar[bool] = False  # learns classes, so that near codes mean "same class", not "same picture"
    binarises_at_zero: ClassVar[bool] = True  # False where bits() is more than the sign of forward()
    needs_whole_table: ClassVar[bool] = False  # fitted on all training features at once, not batch by batch
    encoders: Encoders
    num_levels: int = 1
    format_version: int = FORMAT_VERSION  # whose rule its fingerprint follows; a model of an older folder keeps that
    learned_codes: BinaryCodes | None = None  # of training items [M N], solved as by DLCH
    seen: SeenItems | None = None  # what it was trained on, for evaluations to tell
    known_pairs: Sequence[PairCounts] = ()  # of its validation part, for searches to tell what is likely
    certainty: Mapping[str, BitCertainty] = MappingProxyType({})  # modality -> how sure its bits are

    def __init__(self, num_bits: int, backbones: Mapping[str, Backbone]) -> None:
        super().__init__()
        self.num_bits = whole(num_bits, "num_bits, the code length,", least=1)
        for modality, spec in backbones.items():
            if not isinstance(spec, Backbone):
                raise UsageError(
                    f"{type(self).__name__}: the {modality} backbone is a {type(spec).__name__}; annotate the argument "
                    "of __init__ with Backbone, so that one is made of what a configuration says"
                )
        self.encoders = Encoders({modality: spec.build() for modality, spec in backbones.items()})
        for encoder in self._frozen_encoders():
            encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; frozen backbones stay in evaluation mode, so that their features never change."""
        super().train(mode)
        for encoder in self._frozen_encoders():
            encoder.eval()
        return self

    def _frozen_encoders(self) -> list[Encoder]:
        return [encoder for encoder in self.encoders.values() if encoder.spec.frozen]

    # The three steps from input to code ------------------------------------------------------------

    @abstractmethod
    def forward(self, inputs: Inputs) -> Tensor:
        """Return continuous codes v, [B, K] (or [B, L, K] for L levels)."""

    def bits(self, inputs: Inputs) -> Tensor:
        """Return booleans shaped like :meth:`forward`. The only place that binarises; a bit is 1 where v >= 0.

        A method that binarises otherwise says so in ``binarises_at_zero``: its continuous codes are not mixed.

        Raises:
            UsageError: a continuous code is NaN, which has no side.
        """
        continuous: Tensor = self(inputs)
        broken = int(continuous.isnan().flatten(1).any(dim=1).sum())
        if broken:
            raise UsageError(
                f"{broken} of {len(continuous)} continuous codes hold NaN: the input holds NaN, or training diverged "
                "(try a smaller learning rate)"
            )
        return continuous >= 0

    def encode(self, inputs: Inputs | Tensor) -> BinaryCodes:
        """Return packed codes of one batch, in evaluation mode and without gradients."""
        with self.evaluating(), torch.inference_mode():
            on_device = {key: value.to(self.device) for key, value in self.as_inputs(inputs).items()}
            return BinaryCodes.from_bits(self.bits(on_device).cpu().numpy())

    @property
    def own_certainty(self) -> BitCertainty | None:
        """How sure bits are, of a method whose continuous codes say it themselves (HIB); None of most."""
        return None

    def bit_probabilities(self, inputs: Inputs) -> Tensor:
        """Return how probably each bit is 1, float64 shaped like :meth:`forward`, of the one modality given.

        Of most methods that is calibrated: how probably a right answer has the bit
        (:mod:`deephash.collection.bit_certainty`).

        Raises:
            UsageError: a continuous code is NaN, or nobody calibrated the model.
        """
        from deephash.collection.bit_certainty import certainty_for

        given = next((name for name in self.encoders if name in inputs or f"{name}_features" in inputs), "image")
        table = self.own_certainty or certainty_for(self.certainty, given, type(self).__name__)
        with self.evaluating(), torch.inference_mode():
            continuous = self({key: value.to(self.device) for key, value in inputs.items()})
        return torch.from_numpy(table.probabilities(continuous.double().cpu().numpy()))

    def database_codes(self, modality: str | None = None) -> BinaryCodes | None:
        """Return codes [N] that were solved for the N items of the training split, in its order.

        They are what a code book stores of these items, and the part of ``learned_codes`` that is of this modality.
        None, of most methods: the code of an item is ``encode(x)``.

        Args:
            modality: of a cross-modal model, whose half is searched; None where the model has one modality.
        """
        if self.learned_codes is None or modality is None:
            return self.learned_codes
        place, count = list(self.encoders).index(modality), len(self.learned_codes) // len(self.encoders)
        return self.learned_codes[place * count : (place + 1) * count]

    def target_table(self) -> TargetTable | None:
        """Return the fixed codes that classes are pulled to; None, of methods without (see ``Stationary``)."""
        return None

    def features(self, inputs: Inputs, modality: str = "image") -> Tensor:
        """Return backbone features [B, D] of one modality, cached ones where the batch holds them."""
        cached = inputs.get(f"{modality}_features")
        if cached is not None:
            return cached
        if modality not in inputs:
            raise UsageError(f"{type(self).__name__} needs {modality!r} or '{modality}_features', not {sorted(inputs)}")
        features: Tensor = self.encoders[modality](inputs[modality])
        return features

    def vectors(self, inputs: Inputs) -> Tensor:
        """Return float vectors [B, D] of the one modality given, for re-ranking by cosine; the backbone's features."""
        given = [name for name in self.encoders if name in inputs or f"{name}_features" in inputs]
        if len(given) != 1:
            raise UsageError(f"vectors are of one modality at a time, not of {given or sorted(inputs)}")
        return self.features(inputs, given[0])

    # Pictures and texts as people hold them --------------------------------------------------------

    def preprocess(self, modality: str = "image") -> Callable[[Any], Tensor]:
        """Return the function from a PIL picture or a str to the model's input; it travels with the weights."""
        if modality not in self.encoders:
            able = ", ".join(self.encoders)
            raise UsageError(f"this {type(self).__name__} reads {able}, not {modality}")
        transform: Callable[[Any], Tensor] = self.encoders[modality].preprocess()
        return transform

    def picture_side(self) -> int | None:
        """Return the pixels to which the shorter side of a picture is brought; JPEGs need not be decoded larger."""
        settings = self.encoders["image"].spec.transform if "image" in self.encoders else None
        return int(settings.get("resize", settings["size"])) if settings else None

    def encode_images(self, pictures: Sequence[Any], *, batch_size: int = 64) -> BinaryCodes:
        """Encode PIL pictures, arrays or paths. Raises UnreadablePicture for the first that cannot be decoded."""
        from deephash.pictures import open_picture

        side = self.picture_side()
        return self._encode_each("image", pictures, batch_size, lambda one: open_picture(one, reduced_to=side))

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 256) -> BinaryCodes:
        """Encode phrases; the model needs a text encoder."""
        return self._encode_each("text", texts, batch_size)

    def _encode_each(
        self, modality: str, items: Sequence[Any], batch_size: int, opened: Callable[[Any], Any] = lambda item: item
    ) -> BinaryCodes:
        transform = self.preprocess(modality)
        if not len(items):
            return BinaryCodes.from_bits(torch.zeros(0, self.num_bits).numpy())
        starts = range(0, len(items), batch_size)
        batches = ([transform(opened(item)) for item in items[start : start + batch_size]] for start in starts)
        return BinaryCodes.concatenate([self.encode({modality: torch.stack(batch)}) for batch in batches])

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Be in evaluation mode meanwhile."""
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)

    # Resuming: what Lightning keeps between two runs -------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out frozen backbones, which are built again, and whatever is not plain data."""
        checkpoint.pop("hyper_parameters", None)
        checkpoint.pop("datamodule_hyper_parameters", None)
        for name in self._frozen_names():
            checkpoint["state_dict"].pop(name)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put back the frozen backbones that :meth:`on_save_checkpoint` left out."""
        own = self.state_dict()
        checkpoint["state_dict"] |= {name: own[name] for name in self._frozen_names()}

    def _frozen_names(self) -> list[str]:
        frozen = tuple(f"encoders.{name}." for name, encoder in self.encoders.items() if encoder.spec.frozen)
        return [name for name in self.state_dict() if name.startswith(frozen)] if frozen else []

    # On disk ---------------------------------------------------------------------------------------

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change whenever the codes could: class, K, weights, preprocessing."""
        from deephash.models.storage import identity

        digest = hashlib.sha256(identity(self).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON values, with preprocessing resolved and no weight files named."""
        from deephash.models.storage import jsonable_init_args

        return jsonable_init_args(self)

    def save(self, directory: str | Path, *, portable: bool = True) -> None:
        """Write ``model.json``, ``model.safetensors`` and a card; never a pickle. Replaces an older one atomically.

        Args:
            directory: the model folder.
            portable: also write an encoder that runs without torch (``encoder.onnx``), where there can be one.
        """
        from deephash.models.storage import save_model

        save_model(self, Path(directory), portable=portable)

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, revision: str | None = None, token: str | None = None, local_files_only: bool = False
    ) -> Self:
        """Load a model of the Hugging Face hub, ``USER/NAME``, or of a folder; in evaluation mode, on the CPU.

        Args:
            name: a folder that is there, or a repository.
            revision: branch, tag or commit; by default main.
            token: of the hub; by default what the environment or ``hf auth login`` says.
            local_files_only: take what was fetched last, and ask nobody.

        Raises:
            UsageError: the model is of another class, or what :func:`~deephash.models.load_model` raises.
            DataError: the hub has no such model, or does not answer.
        """
        from deephash.models.hub import pulled

        return pulled(cls, name, revision=revision, token=token, local_files_only=local_files_only)

    def push_to_hub(self, name: str, **options: Any) -> str:
        """Publish on the Hugging Face hub as ``USER/NAME``; options as in :func:`~deephash.models.hub.push_model`."""
        from deephash.models.hub import push_model

        return push_model(self, name, **options)


class AlternatingHashModel(HashModel):
    """A hash model fitted by closed-form rounds over the whole feature table: LSH, ITQ, RREH. No dummy loss.

    Without a Trainer call :meth:`fit`. Under a Trainer one epoch gives the whole table in one batch and is one sweep.
    """

    needs_whole_table: ClassVar[bool] = True
    one_sweep: ClassVar[bool] = False  # True where the first sweep is all there is
    training_free: ClassVar[str | None] = None  # what stands before the colon of itq:timm:resnet18, where it is one
    is_baseline: ClassVar[bool] = False  # shown beside other methods, on the same features
    fitted: Tensor

    def __init__(self, num_bits: int, backbones: Mapping[str, Backbone]) -> None:
        super().__init__(num_bits, backbones)
        self.automatic_optimization = False
        self.objectives: list[float] = []
        self.register_buffer("fitted", torch.tensor(False))

    def encode(self, inputs: Inputs | Tensor) -> BinaryCodes:
        """Return packed codes of one batch. Raises UsageError before the model was fitted."""
        if not self.fitted:
            raise UsageError(f"this {type(self).__name__} was not fitted; call fit(features) or `deephash train`")
        return super().encode(inputs)

    @classmethod
    def on_network(cls, network: str, num_bits: int, *, seed: int = 0, **backbone: Any) -> Self:
        """Build a training-free model over a network such as ``timm:resnet18``; ``backbone`` describes it further."""
        make: Callable[..., Self] = cls
        drawn = {"seed": seed} if "seed" in inspect.signature(cls.__init__).parameters else {}
        return make(num_bits, Backbone(network, **backbone), **drawn)

    @classmethod
    def most_bits(cls, num_rows: int, num_features: int) -> int:
        """Return the longest code that a table of so many rows and features can give: a principal axis a bit."""
        return min(num_rows - 1, num_features)

    @abstractmethod
    def start(self, features: Inputs) -> None:
        """Set means, projections and first values from the training table (``{"image_features": [N, D], ...}``)."""

    @abstractmethod
    def sweep(self, features: Inputs) -> Tensor:
        """Do one round of all updates and return the objective afterwards; it must never rise."""

    def fit(self, features: Inputs | Tensor, *, max_sweeps: int = 50, tolerance: float = 1e-5) -> Self:
        """Start, then sweep until the objective falls by less than ``tolerance`` relative, or ``max_sweeps``."""
        table = {"image_features": features} if isinstance(features, Tensor) else features
        self._start_over(table)
        with torch.no_grad():
            for _ in range(max_sweeps):
                self.objectives.append(float(self.sweep(table)))
                if self.has_converged(tolerance):
                    break
        return self

    def has_converged(self, tolerance: float) -> bool:
        """Say whether the last sweep lowered the objective by less than ``tolerance``, relative."""
        if len(self.objectives) < 2:
            return self.one_sweep and bool(self.objectives)
        before, after = self.objectives[-2:]
        return before - after <= tolerance * max(abs(before), 1e-12)

    def training_step(self, batch: Mapping[str, Tensor], batch_index: int) -> None:
        """One sweep over the whole table."""
        with torch.no_grad():
            table = {f"{name}_features": self.features(batch, name) for name in self._modalities_in(batch)}
            table |= {key: value for key, value in batch.items() if key not in table and key not in self.encoders}
            if self.current_epoch == 0 or not self.objectives:
                self._start_over(table)
            self.objectives.append(float(self.sweep(table)))
        self.log("train/objective", self.objectives[-1], prog_bar=True, batch_size=len(batch["index"]))
        if self.has_converged(1e-5):
            self.trainer.should_stop = True

    def configure_optimizers(self) -> list[Any]:
        """Nothing is optimised by gradients."""
        return []  # None would make Lightning warn

    def _start_over(self, table: Inputs) -> None:
        self.objectives = []
        with torch.no_grad():
            self.start(table)
            self.fitted.fill_(True)

    def _modalities_in(self, batch: Mapping[str, Tensor]) -> list[str]:
        return [name for name in self.encoders if name in batch or f"{name}_features" in batch]
