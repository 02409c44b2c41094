"""LifelongCodes: codes that stand, and codes of new items that are solved while a network learns (DLCH, phase 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deephash.errors import UsageError
from deephash.objectives.dlch import Preset, label_similarity, lifelong_losses
from deephash.objectives.labels import labelled_mask
from deephash.objectives.new_codes import initial_codes, random_codes, solve_new_codes
from deephash.objectives.signs import sign


@dataclass(frozen=True)
class LifelongWeights:
    """Of the loss of phase 2.

    Attributes:
        alpha: of the distance between an item's code and its output.
        beta: of the balance.
        sweeps: of the discrete descent after each pass.
        shared: of two modalities, a new pair has one code, solved beside both networks [R]. New classes that share no
            label with old ones are tied across modalities by nothing else. False solves Vx and Vy apart [C].
        preset: ``corrected``, or ``release`` with its defects: no new-code term, signed balance, outputs pulled to the
            codes of other items, alpha without effect on new codes, random first codes.
    """

    alpha: float = 10.0
    beta: float = 100.0
    sweeps: int = 1
    shared: bool = True
    preset: Preset = "corrected"


class LifelongCodes:
    """Frozen and new codes of one modality, beside the items Omega that a network is updated on.

    The codes of seen items take part in the loss, and nothing here writes them. Codes of the new items among Omega are
    solved by :func:`~deephash.objectives.new_codes.solve_new_codes`; :meth:`state_dict` resumes where it stood.

    Args:
        old: codes of all seen items [n, K] in +-1.
        old_labels: their labels, class numbers [n] or multi-hot [n, C].
        labels: of the items of Omega, [m] or [m, C], in the order that ``index`` counts in; unlabelled ones are allowed
            and are left out of everything.
        place: int64 [m], which row of ``old`` an item of Omega is; -1 for a new item.
        weights: see :class:`LifelongWeights`.
        seed: of the first codes of ``release``.

    Raises:
        UsageError: tables that do not fit each other.
    """

    def __init__(
        self,
        old: Tensor,
        old_labels: Tensor,
        labels: Tensor,
        place: Tensor,
        weights: LifelongWeights | None = None,
        *,
        seed: int = 0,
    ) -> None:
        if len(old) != len(old_labels) or len(labels) != len(place):
            raise UsageError(
                f"{len(old)} codes need as many labels, not {len(old_labels)}; {len(labels)} items of Omega as many "
                f"places, not {len(place)}"
            )
        if len(place) and int(place.max()) >= len(old):
            raise UsageError(f"an item of Omega is said to be row {int(place.max())} of {len(old)} seen codes")
        known = labelled_mask(old_labels)
        self.weights, self.seed, self.num_bits = weights or LifelongWeights(), seed, old.shape[1]
        self._all_old, self.labels, self.place = old, labels, place
        self.old, self.old_labels = old[known], old_labels[known]
        self.labelled = labelled_mask(labels)
        self.new_rows = ((place < 0) & self.labelled).nonzero()[:, 0]
        self._number = torch.full((len(labels),), -1, dtype=torch.long, device=place.device)
        self._number[self.new_rows] = torch.arange(len(self.new_rows), device=place.device)
        self.codes = old.new_zeros(0, old.shape[1])
        self.outputs = old.new_zeros(0, old.shape[1])
        self.objectives: list[float] = []

    @property
    def has_begun(self) -> bool:
        """Whether :meth:`begin` was called, here or in the run that is resumed."""
        return len(self.outputs) == len(self.labels)

    @property
    def new_labels(self) -> Tensor:
        """Labels of the new items."""
        return self.labels[self.new_rows]

    def begin(self, outputs: Tensor) -> None:
        """Take the network's outputs [m, K] for all of Omega before it learns, and first codes from them."""
        self.outputs = outputs.detach().to(self.old).clone()
        if self.weights.preset == "release":  # which knows no outputs before its first pass, either
            generator = torch.Generator().manual_seed(self.seed)
            self.outputs = torch.randn(self.outputs.shape, generator=generator).to(self.old)
            self.codes = random_codes(len(self.new_rows), self.num_bits, seed=self.seed).to(self.old)
        else:
            self.codes = initial_codes(self.outputs[self.new_rows])

    def losses(self, outputs: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Return :func:`~deephash.objectives.dlch.lifelong_losses` of outputs u [b, K] of the items ``index`` [b].

        Raises:
            UsageError: an item without labels.
        """
        labels = self.labels[index]
        return lifelong_losses(
            outputs,
            self._own(index).to(outputs),
            (self.old.to(outputs), label_similarity(labels, self.old_labels).to(outputs)),
            (self.codes.to(outputs), label_similarity(labels, self.new_labels).to(outputs)),
            alpha=self.weights.alpha,
            beta=self.weights.beta,
            preset=self.weights.preset,
        )

    def remember(self, outputs: Tensor, index: Tensor) -> None:
        """Keep the last outputs of items, of which :meth:`solve` makes codes."""
        self.outputs[index] = outputs.detach().to(self.outputs)

    def solve(self) -> None:
        """Sweep over the codes of the new items, given the last outputs; ``objectives`` gets the value afterwards."""
        if not len(self.new_rows):
            return
        rows = self.labelled.nonzero()[:, 0]
        outputs = torch.tanh(self.outputs)
        found = solve_new_codes(
            outputs[rows],
            label_similarity(self.labels[rows], self.new_labels),
            self.codes,
            own=None if self.weights.preset == "release" else outputs[self.new_rows],
            alpha=self.weights.alpha,
            sweeps=self.weights.sweeps,
        )
        self.codes = found.codes
        self.objectives.append(found.objectives[-1])

    def _own(self, index: Tensor) -> Tensor:
        if self.weights.preset == "release":  # its row numbers are those of the sample, not of the code table
            return torch.cat([self._all_old, self.codes])[index % (len(self._all_old) + len(self.codes))]
        own = self._all_old.new_zeros(len(index), self.num_bits)
        place, number = self.place[index], self._number[index]
        seen, fresh = place >= 0, number >= 0
        own[seen], own[fresh] = self._all_old[place[seen]], self.codes[number[fresh]]
        return own

    def codes_of_all(self) -> Tensor:
        """Return codes [m, K] of the items of Omega: stored or solved ones, else the signs of outputs."""
        codes = sign(self.outputs)
        seen = self.place >= 0
        codes[seen], codes[self.new_rows] = self._all_old[self.place[seen]], self.codes
        return codes

    # Between processes, devices and runs ---------------------------------------------------------------

    def to(self, device: torch.device) -> None:
        """Bring everything to a device."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must remember: new codes and last outputs. Old codes are read again."""
        return {"codes": self.codes, "outputs": self.outputs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state_dict` returned."""
        self.codes, self.outputs = state["codes"].to(self.old), state["outputs"].to(self.old)
