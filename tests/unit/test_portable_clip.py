"""Both towers of CLIP without torch: the same rows and bits as with it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from deephash.encoding import open_encoder
from deephash.errors import UsageError
from deephash.models import CrossModalITQ
from deephash.models.encoder import TorchEncoder
from tests.tiny_clip import OPTIONS, PICTURES, TEXTS, tiny_clip_model
from tests.unit.test_portable_encoder import PHRASES, pictures, rows_of


def test_both_towers_of_clip(tmp_path):
    model = tiny_clip_model()
    model.save(tmp_path / "clip")
    here, there = TorchEncoder(model), open_encoder(tmp_path / "clip")
    assert there.engine == "onnx"
    shown = [*pictures(20), Image.new("RGB", (300, 4)), Image.new("L", (30, 60))]
    rows = rows_of(there, shown)
    assert max(np.abs(one - other).max() for one, other in zip(rows, rows_of(here, shown))) < 1e-6
    assert there.encode("image", rows).codes == here.encode("image", rows).codes
    said = [phrase for phrase in PHRASES if phrase and not phrase.startswith("日")]
    words = rows_of(there, said, "text")
    assert all((one == other).all() for one, other in zip(words, rows_of(here, said, "text")))
    assert there.encode("text", words).codes == here.encode("text", words).codes
    assert (there.neutral() == here.neutral()).all()
    assert there.neutral_phrase == here.neutral_phrase == "a photo"
    for phrase in ("", "日本"):
        said = []
        for encoder in (here, there):
            with pytest.raises(UsageError) as refused:
                encoder.prepare("text", phrase)
            said.append(str(refused.value))
        assert said[0] == said[1]


def test_attention_of_several_heads_is_exported_too(tmp_path, capsys):
    """For an even number of heads torch computes attention by an operator of its own, which ONNX lacks."""
    options = OPTIONS | {"vision_cfg": OPTIONS["vision_cfg"] | {"width": 128}}
    torch.manual_seed(0)
    model = CrossModalITQ(16, replace(PICTURES, options=options), replace(TEXTS, options=options), project_texts=False)
    model = model.fit({f"{name}_features": torch.randn(60, 32) for name in ("image", "text")}).eval()
    model.save(tmp_path / "clip")
    here, there = TorchEncoder(model), open_encoder(tmp_path / "clip")
    assert there.engine == "onnx"
    rows = rows_of(there, pictures(12))
    assert there.encode("image", rows).codes == here.encode("image", rows).codes
    assert capsys.readouterr().out == ""
    assert torch.backends.mha.get_fastpath_enabled()
