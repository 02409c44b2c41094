"""``README.md`` of a model folder: what the model is and how its portable encoder was measured, for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deephash.encoding.portable import ENTRY, towers_of
from deephash.encoding.record import TENSORS_NAME

CARD_NAME = "README.md"


def card_of(record: Mapping[str, Any]) -> str:
    """Return the card of the model that ``model.json`` describes, in Markdown."""
    return (
        f"# {record['class']}, {record['num_bits']} bits\n\n"
        f"A hash model written by deephash {record['deephash']}; fingerprint `{record['fingerprint']}`.\n"
        f"It reads: {', '.join(record['modalities'])}.\n"
        f"Loading it runs no code of this folder and fetches nothing: its weights lie in {TENSORS_NAME}. Where a text "
        "tower needs a tokeniser of the Hugging Face hub, `--allow-download` lets it be fetched.\n\n"
        f"{_engines(record)}"
        '```python\nfrom deephash import load_model\n\nmodel = load_model("this folder")\n```\n\n'
        f"```json\n{json.dumps(record['init_args'], indent=2)}\n```\n"
    )


def portable_facts(record: Mapping[str, Any]) -> list[str]:
    """Return a sentence on each thing that is known of the encoder without torch; none where it was never made."""
    entry = record.get(ENTRY)
    if entry is None:
        return []
    if not towers_of(record):
        return [f"It has no encoder without torch: {entry.get('reason', 'the record describes none')}."]
    facts = [
        f"Its encoder without torch (onnxruntime, opset {entry['opset']}) gives continuous codes that differ from "
        f"torch's by at most {entry['difference']:.1g}."
    ]
    for modality, tower in towers_of(record).items():
        if "flips" in tower:
            facts.append(f"Of {modality}s: {_measured(tower['flips'])} are decided otherwise than by torch.")
        if "bits" in tower.get("int8", {}):
            facts.append(f"In int8, of {modality}s: {_measured(tower['int8'])} are decided otherwise than in fp32.")
    return facts


def _measured(flips: Mapping[str, Any]) -> str:
    bits, flipped = flips["bits"], flips["flipped"]
    return f"{flipped:,} of {bits:,} bits ({flipped / bits:.3%}, measured on {flips['items']:,} real ones)"


def _engines(record: Mapping[str, Any]) -> str:
    facts = portable_facts(record)
    return " ".join(facts) + "\n\n" if facts else ""
