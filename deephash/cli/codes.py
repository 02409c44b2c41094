"""``deephash codes ...``: are these codes healthy, do two programs agree, which unrelated items share a code."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from deephash.cli.output import note, print_json, table
from deephash.errors import UsageError
from deephash.evaluation.health import code_health
from deephash.scoring.codesets import compare_code_sets, find_collisions, read_code_set


def inspect(*files: Path, label: str = "label", json: bool = False) -> None:
    """Say how well codes use their bits.

    $ deephash codes inspect codes.npz
    $ deephash codes inspect pictures.dh other.dh --json

    Args:
        files: .npz files or collections.
        label: attribute of a collection that is the class.
        json: print one JSON object a file.
    """
    if not files:
        raise UsageError("which codes? give .npz files or collections: deephash codes inspect codes.npz")
    for file in files:
        codes = read_code_set(file, label=label)
        found = asdict(code_health(codes.codes, labels=codes.labels))
        if json:
            print_json({"file": file, **found})
            continue
        print(file)
        for name, value in found.items():
            if value is not None:
                print(f"  {name.replace('_', ' '):20} {_shown(value)}")


def diff(first: Path, second: Path, /, *, most: float = 1.0, json: bool = False) -> int:
    """Count the bits that differ between two files of codes of the same items.

    $ deephash codes diff on_gpu.npz on_cpu.npz
    $ deephash codes diff old.npz new.npz --most 0.001

    Items are matched by name where both files have names, else by their order.

    Args:
        first: .npz file or collection.
        second: the other one, of the same code length.
        most: end with 1 if a larger share of the bits differs.
        json: print one JSON object.
    """
    found = compare_code_sets(read_code_set(first), read_code_set(second))
    if json:
        print_json(asdict(found))
    else:
        print(f"items         {found.items:,} in both, matched by {found.matched_by}")
        print(f"only in one   {found.only_first:,} in {first}, {found.only_second:,} in {second}")
        print(
            f"flipped bits  {found.flipped_bits:,} of {found.items * found.num_bits:,} ({100 * found.flip_rate:.4f} %)"
        )
        print(f"changed codes {found.changed_codes:,} ({100 * found.changed_share:.2f} %)")
        print(f"worst bit     {found.worst_bit} flips in {100 * found.worst_bit_rate:.2f} % of the items")
        for name, distance in found.most_changed:
            print(f"  {distance:4} bits  {name}")
    return 1 if found.flip_rate > most else 0


def collisions(file: Path, /, *, label: str = "label", most: int = 20, json: bool = False) -> int:
    """List codes that items without a common label share; ends with 1 where there are any.

    $ deephash codes collisions pictures.dh
    $ deephash codes collisions codes.npz --most 5

    Without labels every code that two items share is listed.

    Args:
        file: .npz file or collection.
        label: attribute of a collection that is the class.
        most: groups printed, largest first.
        json: print one JSON object a group.
    """
    codes = read_code_set(file, label=label)
    groups = find_collisions(codes)
    for group in groups[:most]:
        if json:
            print_json(asdict(group))
        else:
            print(f"{group.code}  {group.size:,} items")
            print(table(group.classes, ("  class", "items", "e.g.")))
    kind = "unrelated items" if codes.labels is not None else "items (no labels, so related ones too)"
    total = sum(group.size for group in groups)
    note(f"{len(groups):,} codes are shared by {kind}: {total:,} of {len(codes):,} items")
    return 1 if groups else 0


COMMANDS = {"inspect": inspect, "diff": diff, "collisions": collisions}


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}"
