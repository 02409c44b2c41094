"""LSH, PCA-sign and ITQ: the contract, their closed forms, and what goes wrong."""

import itertools
import math

import pytest
import torch

from deephash.backbones import Backbone
from deephash.codes import hamming_distance
from deephash.errors import UsageError
from deephash.models import ITQ, LSH, PCASign
from deephash.testing.methods import HashModelContract

WIDTH = 40
BACKBONE = Backbone(f"features:{WIDTH}", weights=None)


def features(rows=300, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(WIDTH, WIDTH, generator=generator)
    return torch.randn(rows, WIDTH, generator=generator) @ mixing + 3.0


class ShallowContract(HashModelContract):
    model_class: type

    def make_model(self, num_bits):
        return self.model_class(num_bits, BACKBONE).fit(features())

    def make_inputs(self, num_items):
        return {"image": features(num_items, seed=1)}

    def test_encoding_before_fitting_is_refused(self):
        with pytest.raises(UsageError, match="fit"):
            self.model_class(8, BACKBONE).encode(self.make_inputs(2))

    def test_fitting_twice_is_fitting_once(self, model):
        before = model.fingerprint()
        model.fit(features())
        assert model.fingerprint() == before


class TestLSH(ShallowContract):
    model_class = LSH

    def test_more_bits_than_features(self):
        assert LSH(100, BACKBONE).fit(features()).encode(self.make_inputs(3)).num_bits == 100

    def test_share_of_differing_bits_is_the_angle(self):
        """P(bit differs) = theta / pi; with 20,000 bits the standard deviation is below 0.0036."""
        model = LSH(20_000, Backbone("features:2", weights=None), centre=False)
        for angle in (0.3, 1.0, 2.5):
            pair = torch.tensor([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])
            codes = model.encode({"image": pair})
            assert hamming_distance(codes[0], codes[1])[0, 0] / 20_000 == pytest.approx(angle / math.pi, abs=0.015)

    def test_without_centring_nothing_needs_fitting(self):
        assert len(LSH(8, BACKBONE, centre=False).encode(self.make_inputs(2))) == 2

    def test_centring_balances_features_of_one_corner(self):
        table = features()
        centred = LSH(64, BACKBONE).fit(table).encode({"image": table}).bits().mean(axis=0)
        plain = LSH(64, BACKBONE, centre=False).encode({"image": table + 30}).bits().mean(axis=0)
        assert abs(centred - 0.5).mean() < 0.1 < abs(plain - 0.5).mean()

    def test_seeds_differ(self):
        assert LSH(8, BACKBONE, seed=1).fingerprint() != LSH(8, BACKBONE, seed=2).fingerprint()


class TestPCASign(ShallowContract):
    model_class = PCASign

    def test_axes_are_orthonormal_and_ordered_by_variance(self):
        table = features()
        model = PCASign(10, BACKBONE).fit(table)
        torch.testing.assert_close(model.projection.T @ model.projection, torch.eye(10), atol=1e-5, rtol=0)
        variances = model({"image": table}).var(dim=0)
        assert (variances[:-1] >= variances[1:]).all()
        expected = torch.linalg.svdvals(table - table.mean(dim=0))[:10].square() / (len(table) - 1)
        torch.testing.assert_close(variances, expected, rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize(("bits", "rows"), [(41, 300), (20, 20)])
    def test_more_bits_than_axes_are_refused(self, bits, rows):
        with pytest.raises(UsageError, match="principal axes"):
            PCASign(bits, BACKBONE).fit(features(rows))


class TestITQ(ShallowContract):
    model_class = ITQ

    def test_objective_never_rises_and_falls(self):
        model = ITQ(32, BACKBONE).fit(features(1000), max_sweeps=50, tolerance=0)
        objectives = model.objectives
        assert all(after <= before * (1 + 1e-12) for before, after in itertools.pairwise(objectives))
        assert objectives[-1] < 0.995 * objectives[0]

    def test_objective_is_the_quantisation_error(self):
        table = features()
        model = ITQ(16, BACKBONE).fit(table, max_sweeps=3)
        rotated = model({"image": table}).double()
        before_last_rotation = model.objectives[-1]
        error = (rotated - torch.where(rotated >= 0, 1.0, -1.0)).square().mean()
        assert float(error) <= before_last_rotation + 1e-6  # new signs can only be nearer

    def test_rotation_is_orthogonal_and_axes_stay(self):
        table = features()
        projection = ITQ(16, BACKBONE).fit(table).projection
        torch.testing.assert_close(projection.T @ projection, torch.eye(16), atol=1e-5, rtol=0)
        axes = PCASign(16, BACKBONE).fit(table).projection
        torch.testing.assert_close(axes @ axes.T @ projection, projection, atol=1e-4, rtol=0)

    def test_the_transposed_rotation_of_public_code_would_be_caught(self):
        """R = W^T U^T instead of W U^T makes the objective jump about instead of falling."""

        class Wrong(ITQ):
            def sweep(self, table):
                codes = torch.where(self._projected @ self._rotation >= 0, 1.0, -1.0).double()
                left, _, right_t = torch.linalg.svd(codes.T @ self._projected)
                self._rotate(right_t @ left.T)
                return (codes - self._projected @ self._rotation).square().mean()

        wrong = Wrong(32, BACKBONE).fit(features(1000), max_sweeps=10, tolerance=-1e9).objectives
        assert any(after > before for before, after in itertools.pairwise(wrong))

    def test_beats_pca_at_keeping_neighbours(self):
        """Bits of rotated axes carry equal variance: the quantisation error of ITQ is below that of PCA-sign."""
        table = features(1000)
        assert ITQ(32, BACKBONE).fit(table).objectives[-1] < PCASign(32, BACKBONE).fit(table).objectives[-1]
