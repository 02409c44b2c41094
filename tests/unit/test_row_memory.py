import pytest
import torch

from deephash.objectives.memory import RowMemory
from tests.image_methods_toy import CODES, LABELS


def test_it_grows_by_row_number_and_knows_only_rows_it_saw():
    memory = RowMemory()
    memory.write(torch.tensor([4, 1]), codes=CODES[:2], labels=LABELS[:2])
    memory.write(torch.tensor([1]), codes=CODES[2:], labels=LABELS[2:])
    assert len(memory) == 2
    assert torch.equal(memory.everything("codes"), torch.stack([CODES[2], CODES[0]]))
    assert memory.everything("labels").tolist() == [1, 0]


def test_rows_of_several_labels():
    memory = RowMemory()
    memory.write(torch.tensor([2]), codes=CODES[:1], labels=torch.tensor([[1.0, 0.0, 1.0]]))
    assert memory.everything("labels").tolist() == [[1, 0, 1]]


def test_rows_are_asked_for_by_number():
    memory = RowMemory()
    assert not memory.knows(torch.tensor([0, 5])).any()
    memory.write(torch.tensor([2]), codes=torch.ones(1, 3))
    memory.write(torch.tensor([7, 0]), codes=torch.full((2, 3), 5.0))
    assert memory.knows(torch.tensor([0, 1, 2, 7, 9])).tolist() == [True, False, True, True, False]
    torch.testing.assert_close(memory.read("codes", torch.tensor([2, 7]))[:, 0], torch.tensor([1.0, 5.0]))
    assert len(memory.everything("codes")) == len(memory) == 3


def test_no_gradient_flows_into_it():
    memory, codes = RowMemory(), CODES.clone().requires_grad_()
    memory.write(torch.tensor([0, 1, 2]), codes=codes * 2)
    assert not memory.everything("codes").requires_grad


def test_asking_an_empty_memory_is_a_bug():
    with pytest.raises(RuntimeError, match="nothing was remembered"):
        RowMemory().everything("codes")


def test_it_comes_back_from_a_file_of_plain_values(tmp_path):
    memory, again = RowMemory(), RowMemory()
    memory.write(torch.tensor([3, 1]), codes=CODES[:2], labels=LABELS[:2])
    torch.save(memory.state_dict(), tmp_path / "memory.pt")
    again.load_state_dict(torch.load(tmp_path / "memory.pt", weights_only=True))
    again.write(torch.tensor([5]), codes=CODES[2:], labels=LABELS[2:])
    assert again.everything("codes")[:2].equal(memory.everything("codes"))
    assert again.knows(torch.arange(6)).tolist() == [False, True, False, True, False, True]


def test_numbers_are_in_the_order_of_everything():
    memory = RowMemory()
    memory.write(torch.tensor([7, 2]), codes=torch.tensor([[7.0], [2.0]]))
    memory.write(torch.tensor([4]), codes=torch.tensor([[4.0]]))
    assert memory.numbers().tolist() == memory.everything("codes")[:, 0].tolist() == [2, 4, 7]
