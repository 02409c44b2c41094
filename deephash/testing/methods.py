"""What every hash model promises. A method's test inherits :class:`HashModelContract` and says how to make one."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from torch import Tensor

from deephash.backbones.spec import Features
from deephash.codes import BinaryCodes
from deephash.encoding import CodeEncoder, open_encoder
from deephash.errors import UsageError
from deephash.foreign.trust import path_of
from deephash.models import HashModel, load_model
from deephash.models.loading import require_loadable
from deephash.models.storage import training_only
from deephash.testing.trusted import trusting_own


def another_value(cls: type[HashModel], name: str, value: Any) -> Any:
    """Return a value of the argument ``name`` that is not ``value``."""
    hint = get_type_hints(cls.__init__)[name]
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kind = float if float in kinds else kinds[0]
    if get_origin(kind) is Literal:
        return next(each for each in get_args(kind) if each != value)
    if kind is bool:
        return not value
    if kind is int:
        return value + 1
    if kind is float:
        return 0.8 * (value or 0.5)
    if is_dataclass(kind):
        return replace(
            value or kind(), **{next(each.name for each in fields(kind) if each.type.startswith("float")): 0.3}
        )
    return tuple(0.5 * each for each in value)


class HashModelContract:
    """Give ``make_model`` (ready to encode: fitted, where a model must be) and ``make_inputs``; inherit the rest."""

    lengths = (1, 12, 32)  # code lengths to try; 12 is no multiple of 8

    def make_model(self, num_bits: int) -> HashModel:
        raise NotImplementedError

    def make_inputs(self, num_items: int) -> Mapping[str, Tensor]:
        """Return the same items for the same number, of one modality where the model takes one at a time."""
        raise NotImplementedError

    @property
    def usual_length(self) -> int:
        return self.lengths[-1]

    @pytest.fixture
    def model(self) -> HashModel:
        torch.manual_seed(0)
        return self.make_model(self.usual_length)

    def test_any_number_of_bits(self):
        for num_bits in self.lengths:
            torch.manual_seed(0)
            codes = self.make_model(num_bits).encode(self.make_inputs(5))
            assert isinstance(codes, BinaryCodes)
            assert (len(codes), codes.num_bits) == (5, num_bits)

    def test_less_than_one_bit_is_refused(self):
        with pytest.raises(UsageError, match="bit"):
            self.make_model(0)

    def test_encoding_is_deterministic(self, model):
        inputs = self.make_inputs(7)
        assert model.encode(inputs) == model.encode(inputs)

    def test_encoding_happens_in_evaluation_mode_and_leaves_the_mode_alone(self, model):
        inputs = self.make_inputs(7)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.eval()
        expected = model.encode(inputs)
        assert not model.training
        model.train()
        assert model.encode(inputs) == expected
        assert model.training
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, before[name]), name

    def test_a_batch_of_one_gives_the_same_code(self, model):
        inputs = self.make_inputs(4)
        together = self.continuous(model, inputs)
        for row in range(4):
            alone = self.continuous(model, {name: tensor[row : row + 1] for name, tensor in inputs.items()})
            torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-5)

    def test_inputs_are_not_changed(self, model):
        inputs = dict(self.make_inputs(6))
        copies = {name: tensor.clone() for name, tensor in inputs.items()}
        model.encode(inputs)
        assert inputs.keys() == copies.keys()
        for name, tensor in inputs.items():
            assert torch.equal(tensor, copies[name]), name

    def test_bits_are_those_of_encode(self, model):
        inputs = self.make_inputs(6)
        model.eval()
        with torch.inference_mode():
            bits = model.bits(inputs)
        assert bits.dtype == torch.bool
        assert BinaryCodes.from_bits(bits.numpy()) == model.encode(inputs)

    def test_nan_is_refused(self, model):
        inputs = {name: torch.full_like(tensor, float("nan")) for name, tensor in self.make_inputs(2).items()}
        if all(tensor.is_floating_point() for tensor in inputs.values()):
            with pytest.raises(UsageError, match="NaN"):
                model.encode(inputs)

    def test_cached_features_give_the_same_codes(self, model):
        inputs = self.make_inputs(6)
        live = [name for name in inputs if name in model.encoders]
        model.eval()
        with torch.inference_mode():
            cached = {f"{name}_features": model.features(inputs, name) for name in live}
        rest = {name: tensor for name, tensor in inputs.items() if name not in live}
        assert model.encode({**rest, **cached}) == model.encode(inputs)

    # Behind the port

    def test_the_port_gives_what_the_model_gives_in_one_pass(self, model):
        inputs = self.make_inputs(6)
        encoder, ran = open_encoder(model), []
        for name, tensor in inputs.items():
            modality = name.removesuffix("_features")
            if name != modality and not isinstance(model.encoders[modality], Features):
                continue  # of cached features no picture is left
            model.encoders[modality].register_forward_hook(lambda *_: ran.append(1))
            found = encoder.encode(modality, list(tensor.numpy()), continuous=True, vectors=True)
            assert len(ran) == 1
            ran.clear()
            assert found.codes == model.encode({modality: tensor})
            assert found.codes.layout == encoder.layout
            with torch.inference_mode():
                assert np.array_equal(found.continuous, model({modality: tensor}).numpy())
                assert np.array_equal(found.vectors, model.vectors({modality: tensor}).numpy())
            if encoder.is_mixable:
                assert np.array_equal(found.continuous >= 0, found.codes.bits())
            bare = encoder.encode(modality, list(tensor.numpy()))
            assert bare.codes == found.codes
            assert bare.continuous is bare.vectors is bare.uncertainty is None
            assert len(encoder.encode(modality, []).codes) == 0

    def test_the_port_says_what_the_model_is(self, model, tmp_path):
        encoder = open_encoder(model)
        assert isinstance(encoder, CodeEncoder)
        assert (encoder.method, encoder.num_bits) == (type(model).__name__, model.num_bits)
        assert encoder.modalities == tuple(model.encoders)
        assert encoder.fingerprint() == model.fingerprint()
        encoder.save(tmp_path / "run" / "model")
        with trusting_own(model):
            assert open_encoder(tmp_path / "run").fingerprint() == encoder.fingerprint()

    # On disk

    def test_a_saved_model_comes_back_the_same(self, model, tmp_path):
        inputs = self.make_inputs(9)
        model.save(tmp_path / "model")
        with trusting_own(model):
            loaded = load_model(tmp_path / "model")
        assert type(loaded) is type(model)
        assert not loaded.training
        assert loaded.fingerprint() == model.fingerprint()
        assert loaded.encode(inputs) == model.encode(inputs)
        assert loaded.init_args() == model.init_args()

    def test_nothing_on_disk_is_a_pickle(self, model, tmp_path):
        model.save(tmp_path / "model")
        record = json.loads((tmp_path / "model" / "model.json").read_text())
        assert record["class"] == path_of(type(model), "deephash.models")
        assert record["fingerprint"] == model.fingerprint()
        for path in Path(tmp_path).rglob("*"):
            if path.is_file():
                assert path.suffix in {".json", ".safetensors", ".md", ".npz", ".txt", ".onnx", ".gz"}, path
                assert path.read_bytes()[:2] != b"\x80\x04", path

    def test_a_changed_weight_changes_the_fingerprint(self, model):
        before = model.fingerprint()
        name, tensor = next((name, tensor) for name, tensor in model.state_dict().items() if tensor.is_floating_point())
        with torch.no_grad():
            tensor.view(-1)[0] += 1.0
        assert model.fingerprint() != before, name

    def test_arguments_of_training_change_neither_codes_nor_fingerprint(self, model):
        inputs, given = self.make_inputs(6), dict(model.hparams)
        for name in sorted(training_only(type(model))):
            other = type(model)(**given | {name: another_value(type(model), name, given[name])})
            other.encoders = model.encoders  # vocabularies too
            other.load_state_dict(model.state_dict())
            assert other.init_args() != model.init_args(), name
            assert other.encode(inputs) == model.encode(inputs), name
            assert other.fingerprint() == model.fingerprint(), name

    def test_it_can_be_loaded_again(self, model):
        require_loadable(model)

    def test_init_args_are_plain_json(self, model):
        args = model.init_args()
        assert json.loads(json.dumps(args, allow_nan=False)) == args
        assert args["num_bits"] == self.usual_length

    @staticmethod
    def continuous(model: HashModel, inputs: Mapping[str, Tensor]) -> Tensor:
        model.eval()
        with torch.inference_mode():
            codes: Tensor = model(inputs)
        return codes
