"""Square: what the search service answers, by plain loops, and how many answers an attack uses."""

from __future__ import annotations

import pytest
import torch

from deephash.attacks import Aim, Known, Square, Victim, Watch
from deephash.attacks.square import Oracle
from deephash.errors import UsageError


def signs(count: int, bits: int, seed: int) -> torch.Tensor:
    return torch.where(torch.rand(count, bits, generator=torch.Generator().manual_seed(seed)) < 0.5, -1.0, 1.0)


@pytest.fixture
def oracle() -> Oracle:
    return Oracle(signs(40, 6, 0), depth=7)  # few bits, so that ties cross the last place


def answers_by_a_loop(oracle: Oracle, code: torch.Tensor) -> list[tuple[int, int]]:
    distances = [int((code != item).sum()) for item in oracle.codes]
    return sorted((distance, number) for number, distance in enumerate(distances))[: oracle.depth]


def test_the_nearest_come_back_by_distance_and_number(oracle):
    asked = signs(9, 6, 1)
    numbers, distances = oracle.answers(asked)
    for code, found, far in zip(asked, numbers.tolist(), distances.tolist(), strict=True):
        assert list(zip(far, found, strict=True)) == answers_by_a_loop(oracle, code)


def test_what_is_not_returned_counts_one_bit_beyond_the_last(oracle):
    asked = signs(9, 6, 2)
    followed = torch.rand(9, 40, generator=torch.Generator().manual_seed(3)) < 0.2
    for code, wanted, reach in zip(asked, followed, oracle.reach(asked, followed).tolist(), strict=True):
        returned = {number: distance for distance, number in answers_by_a_loop(oracle, code)}
        beyond = max(returned.values()) + 1
        items = torch.nonzero(wanted).flatten().tolist()
        expected = sum(returned.get(number, beyond) for number in items) / len(items)
        assert reach == pytest.approx(expected)


def linear(pixels: torch.Tensor) -> torch.Tensor:
    weights = torch.randn(6, 3 * 8 * 8, generator=torch.Generator().manual_seed(4))
    return (pixels.flatten(1) - 0.5) @ weights.T


class Counted:
    """A victim without gradients that counts the pictures it answered."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen += len(pixels)
        return linear(pixels).detach()


def images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 8, 8), generator=torch.Generator().manual_seed(5)).float() / 255


@pytest.mark.parametrize("steps", [1, 12])
def test_every_answer_is_counted(steps):
    counted, watch = Counted(), Watch()
    aim = Aim(known=Known(signs(40, 6, 0)))
    Square(steps=steps, depth=7).perturb(Victim(counted), images(3), aim, watch=watch)
    # one for the clean neighbours that are followed; then the clean picture, the stripes, and one a step
    assert watch.queries == 3 * (steps + 2)
    assert counted.seen <= watch.queries + 3
    assert watch.gradients == 0


def test_kept_squares_only_lead_away_and_more_questions_are_no_weaker():
    """What is reported is what the service says of the returned picture."""
    known, pictures = Known(signs(40, 6, 0)), images(5)
    oracle = Oracle(known.codes, 7)
    near, _ = oracle.answers(2 * (linear(pictures) >= 0).float() - 1)
    followed = torch.zeros(5, 40, dtype=torch.bool).scatter_(1, near, True)
    reached = []
    for steps in (1, 60):
        watch = Watch()
        found = Square(steps=steps, depth=7, epsilon=32 / 255).perturb(linear, pictures, Aim(known=known), watch=watch)
        now = oracle.reach(2 * (linear(found) >= 0).float() - 1, followed)
        assert torch.allclose(-now, torch.tensor(watch.best))
        assert all(after <= before for before, after in zip(watch.first, watch.best, strict=True))
        reached.append(float(now.mean()))
    assert reached[1] > reached[0]


def test_a_targeted_one_brings_the_targets_items_near():
    labels = torch.arange(40) % 4
    known, pictures, targets = Known(signs(40, 6, 0), labels), images(5), torch.tensor([1, 2, 3, 0, 1])
    found = Square(steps=80, epsilon=48 / 255).perturb(linear, pictures, Aim(targets=targets, known=known))

    def distance(shown: torch.Tensor) -> float:
        far = (6 - (2 * (linear(shown) >= 0).float() - 1) @ known.codes.T) / 2
        return float(
            torch.stack([row[labels == target].mean() for row, target in zip(far, targets, strict=True)]).mean()
        )

    assert distance(found) < distance(pictures)


def test_squares_shrink_by_the_schedule_of_the_authors():
    """Halved at steps 10, 50, 200, 500, ... of 10,000; a shorter run goes through the same shares."""
    whole, short = Square(steps=10_000, share=0.8), Square(steps=100, share=0.8)
    shares = [whole._covered(step) for step in (0, 10, 11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)]
    assert shares == [0.8, 0.8, *(0.8 * 0.5**power for power in range(1, 10))]
    assert [short._covered(step) for step in (0, 1, 99)] == [whole._covered(step) for step in (0, 100, 9900)]


def test_a_service_with_nothing_in_it_is_told():
    with pytest.raises(UsageError, match="known"):
        Square(steps=3).perturb(linear, images(1), Aim())
    with pytest.raises(UsageError, match="labels of the collection"):
        Square(steps=3).perturb(linear, images(1), Aim(targets=torch.tensor([1]), known=Known(signs(9, 6, 0))))
