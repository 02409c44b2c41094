"""ProS-GAN: a generator makes an adversarial picture of a picture and a label, in one pass (Wang et al., CVPR 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from deephash.attacks.base import Aim, Attack, Watch
from deephash.attacks.generator import Discriminator, Generator
from deephash.attacks.learning import Lesson
from deephash.attacks.pixels import box, on_grid
from deephash.attacks.prototype import Objective, PrototypeNet, Teaching, labelled_table, learn_prototypes
from deephash.attacks.victims import Victim
from deephash.errors import UsageError
from deephash.objectives.labels import multi_hot

Form = Literal["paper", "tmm"]
BATCH, DISCRIMINATOR_EVERY = 24, 3
RECONSTRUCTION = {"paper": 100.0, "tmm": 50.0}  # FLICKR-25K of the release; 50 for its other sets
HASHING = {"paper": 5.0, "tmm": 1.0}
PROTOTYPES: dict[Form, Objective] = {"paper": "pairs", "tmm": "circle"}  # the journal learns them as THA does
LEARNING_RATE, BETAS = 1e-4, (0.5, 0.999)


def hashing_loss(outputs: Tensor, prototypes: Tensor, form: Form = "paper") -> Tensor:
    """Return ``1 - mean(u p)`` of the paper, or ``mean (u p - 1)^2`` of the journal (TMM 2021), [B].

    Args:
        outputs: u [B, K], relaxed codes of adversarial pictures.
        prototypes: p [B, K], signs.
        form: which.
    """
    product = outputs * prototypes
    return 1 - product.mean(dim=1) if form == "paper" else (product - 1).square().mean(dim=1)


def decay(epoch: float, epochs: int) -> float:
    """Return the factor of the learning rate: 1 for the first half, then linearly down, still positive at the end.

    The release's ``1 - max(0, e + 1 - n) / (n + 1)`` with n half of the epochs, e counted from 0.
    """
    half = epochs / 2
    return 1 - max(0.0, epoch + 1 - half) / (half + 1)


@dataclass(frozen=True)
class ProSGAN(Attack):
    """One pass of a generator a picture.

    The paper knows no budget: only a reconstruction loss restrains the picture, and nothing is cut. Here the picture is
    cut to ``epsilon`` before the victim sees it in training, straight through, so that the generator learns to use what
    it may; ``epsilon=1`` is the paper's.

    Args:
        epsilon: see :class:`Attack`.
        steps: gradient steps of generator and discriminator, batches of 24; the release takes 100 epochs.
        seed: see :class:`Attack`.
        form: ``paper`` or ``tmm``, losses and weights of the conference or the journal, of the PrototypeNet too.
        reconstruction: weight of the reconstruction; None takes the form's.
        teaching_steps: of the PrototypeNet.
    """

    targeted: ClassVar[bool] = True
    steps: int = 1000
    form: Form = "paper"
    reconstruction: float | None = None
    teaching_steps: int = 1000
    nets: tuple[PrototypeNet, Generator] | None = field(default=None, compare=False, repr=False)

    def run(self, victim: Victim, images: Tensor, aim: Aim, watch: Watch) -> Tensor:
        """Return the generator's pictures, cut to the budget and rounded."""
        if self.nets is None:
            raise UsageError("ProS-GAN learns its generator first: attack.learn(victim_of(model), Lesson(...))")
        if aim.targets is None:
            raise UsageError("ProS-GAN pulls pictures to a label: give Aim(targets=...)")
        net, generator = self.nets[0].to(images.device), self.nets[1].to(images.device)
        semantic, _, _ = net(multi_hot(aim.targets, net.num_classes).float().to(images.device))
        with torch.no_grad():
            return on_grid(in_unit(generator(in_both(images), semantic)), images, self.epsilon)

    def learn(self, victim: Victim, lesson: Lesson) -> Self:
        """Train the PrototypeNet, then generator and discriminator against the frozen victim."""
        lesson.require_pictures(victim, "ProS-GAN")
        if lesson.known.labels is None:
            raise UsageError("ProS-GAN learns from labels of the training split, and they are missing")
        known = lesson.known.to(victim.device)
        assert known.labels is not None
        teaching = Teaching(PROTOTYPES[self.form], self.teaching_steps, seed=self.seed, classifies=True)
        net = learn_prototypes(known.codes, known.labels, teaching)
        table, _ = labelled_table(known.labels, known.codes, net.num_classes)
        return replace(self, nets=(net, self._generator(victim, lesson, net, table.unique(dim=0))))

    def learned(self) -> dict[str, Tensor]:
        """Return the weights of prototype net and generator."""
        if self.nets is None:
            return {}
        named = zip(("prototype", "generator"), self.nets, strict=True)
        weights = {f"{name}.{key}": value for name, net in named for key, value in net.state_dict().items()}
        return weights | {"side": torch.tensor(self.nets[1].side)}

    def with_learned(self, state: dict[str, Tensor]) -> Self:
        """Return the attack with those weights."""
        parts = [
            {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
            for name in ("prototype", "generator")
        ]
        generator = Generator(int(state["side"]))
        generator.load_state_dict(parts[1])
        return replace(self, nets=(PrototypeNet.of_state(parts[0]), generator.eval()))

    def _generator(self, victim: Victim, lesson: Lesson, net: PrototypeNet, targets: Tensor) -> Generator:
        assert lesson.pictures is not None
        side, device = lesson.pictures([0]).shape[-1], victim.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            generator, discriminator = Generator(side).to(device), Discriminator(net.num_classes, side).to(device)
        makers = [torch.optim.Adam(each.parameters(), LEARNING_RATE, BETAS) for each in (generator, discriminator)]
        draw = torch.Generator().manual_seed(self.seed)
        with victim.evaluating():
            for step, (images, labels) in enumerate(self._batches(lesson, net.num_classes)):
                for maker in makers:
                    maker.param_groups[0]["lr"] = LEARNING_RATE * decay(100 * step / self.steps, 100)
                wanted = targets[torch.randint(len(targets), (len(images),), generator=draw).to(device)]
                batch = images.to(device), labels.to(device), wanted
                self._step(victim, net, generator, discriminator, makers, batch, step)
        return generator.eval()

    def _batches(self, lesson: Lesson, num_classes: int) -> Iterator[tuple[Tensor, Tensor]]:
        assert lesson.known.labels is not None
        for pictures, rows in lesson.batches(BATCH, self.steps, self.seed, "training the generator"):
            yield pictures, multi_hot(lesson.known.labels[rows], num_classes).float()

    def _step(
        self,
        victim: Victim,
        net: PrototypeNet,
        generator: Generator,
        discriminator: Discriminator,
        makers: list[torch.optim.Adam],
        batch: tuple[Tensor, Tensor, Tensor],
        step: int,
    ) -> None:
        """Update the discriminator in every third step, the generator in each."""
        images, labels, wanted = batch
        with torch.no_grad():
            semantic, _, _ = net(wanted)
        prototypes = net.codes(wanted)
        real = in_both(images)
        fake = generator(real, semantic)
        nothing, all_fake = (torch.full((len(images), 1), value, device=images.device) for value in (0.0, 1.0))
        if step % DISCRIMINATOR_EVERY == 0:
            loss = mse_loss(discriminator(real), torch.cat([labels, nothing], 1))
            loss = loss + mse_loss(discriminator(fake.detach()), torch.cat([wanted, all_fake], 1))
            _update(makers[1], loss / 2)
        cut = straight_through_box(in_unit(fake), images, self.epsilon)
        hashing = hashing_loss(torch.tanh(victim.continuous(cut)), prototypes, self.form).mean()
        weight = RECONSTRUCTION[self.form] if self.reconstruction is None else self.reconstruction
        loss = weight * mse_loss(fake, real) + HASHING[self.form] * hashing
        _update(makers[0], loss + mse_loss(discriminator(fake), torch.cat([wanted, nothing], 1)))


def straight_through_box(pixels: Tensor, images: Tensor, epsilon: float) -> Tensor:
    """Return pixels cut to the budget, whose gradient passes as if they were not."""
    low, high = box(images, epsilon)
    cut = torch.minimum(torch.maximum(pixels, low), high)
    return pixels + (cut - pixels).detach()


def in_both(pixels: Tensor) -> Tensor:
    """Return pixels of [0, 1] in [-1, 1]."""
    return 2 * pixels - 1


def in_unit(pixels: Tensor) -> Tensor:
    """Return pixels of [-1, 1] in [0, 1]."""
    return (pixels + 1) / 2


def _update(maker: torch.optim.Adam, loss: Tensor) -> None:
    maker.zero_grad()
    gradients = torch.autograd.grad(loss, maker.param_groups[0]["params"])
    for weight, gradient in zip(maker.param_groups[0]["params"], gradients, strict=True):
        weight.grad = gradient
    maker.step()
