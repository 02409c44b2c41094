"""Draw the rooms and what they import into docs/images/architecture.svg: the code, on the floors of pyproject.toml.

python scripts/picture.py            # draw it
python scripts/picture.py --check    # fail if the code has moved on

An arrow that follows from others is left out: cli imports codes, but through search.
"""

import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
WIDTH, ROW, BOX, HEIGHT = 900, 74, 112, 30

Arrows = dict[str, set[str]]


def floors() -> list[list[str]]:
    """Return the rooms of every floor, the highest floor first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (each["layers"] for each in settings["contracts"] if each["type"] == "layers")
    return [[name.strip().removeprefix("deephash.") for name in layer.split("|")] for layer in layers]


def imports() -> Arrows:
    """Return which rooms each room imports, inside functions too."""
    graph = grimp.build_graph("deephash", "webui", cache_dir=None)
    found: Arrows = defaultdict(set)
    for name in graph.modules:
        for other in graph.find_modules_directly_imported_by(name):
            found[room_of(name)].add(room_of(other))
    return {one: others - {one} for one, others in found.items()}


def room_of(module: str) -> str:
    """Return ``search`` for ``deephash.search.snapshot``."""
    package, *rest = module.split(".")
    return rest[0] if package == "deephash" and rest else package


def needed(arrows: Arrows) -> Arrows:
    """Leave out the arrows that follow from others."""
    return {one: {each for each in others if not _follows(arrows, one, each)} for one, others in arrows.items()}


def _follows(arrows: Arrows, one: str, other: str) -> bool:
    return any(other in _reached(arrows, way) for way in arrows[one] if way != other)


def _reached(arrows: Arrows, room: str) -> set[str]:
    near = arrows.get(room, set())
    return near.union(*(_reached(arrows, each) for each in near)) if near else set()


def draw() -> str:
    """Return the picture as SVG."""
    rows = floors()[:-1]  # every room uses the last one: errors, progress, version
    places = {
        room: (WIDTH * (number + 1) / (len(row) + 1), ROW * level + 30)
        for level, row in enumerate(rows)
        for number, room in enumerate(row)
    }
    arrows = needed({one: {each for each in others if each in places} for one, others in imports().items()})
    lines = [_arrow(places[one], places[each]) for one in places for each in sorted(arrows.get(one, ()))]
    boxes = [_box(room, *place) for room, place in places.items()]
    return "\n".join([_HEAD.format(width=WIDTH, height=ROW * len(rows)), *lines, *boxes, "</svg>\n"])


_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"
 font-family="sans-serif" font-size="14">
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0L8 4L0 8z" fill="#7a8ba0"/></marker></defs>
<rect width="100%" height="100%" fill="#fff"/>"""


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = (start[0], start[1] + HEIGHT / 2), (end[0], end[1] - HEIGHT / 2 - 2)
    bend = (to_y - y) / 2
    path = f"M{x:.0f} {y:.0f}C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y:.0f}"
    return f'<path d="{path}" fill="none" stroke="#7a8ba0" marker-end="url(#tip)"/>'


def _box(room: str, x: float, y: float) -> str:
    return (
        f'<rect x="{x - BOX / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{BOX}" height="{HEIGHT}" rx="6" fill="#eef3f8" '
        f'stroke="#40566f"/><text x="{x:.0f}" y="{y + 5:.0f}" text-anchor="middle" fill="#1d2b3a">{room}</text>'
    )


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    drawn = draw()
    if "--check" not in sys.argv:
        PICTURE.write_text(drawn)
    elif not PICTURE.exists() or PICTURE.read_text() != drawn:
        sys.exit(f"{PICTURE.relative_to(ROOT)} is not what the code is: python scripts/picture.py")
