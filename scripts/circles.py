"""Fail on circles of imports between files, those inside functions and for type checkers included.

python scripts/circles.py
"""

import sys
from pathlib import Path

import grimp
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def circles(*packages: str) -> list[list[str]]:
    """Return the groups of files that import each other, directly or through others."""
    graph = grimp.build_graph(*packages, cache_dir=None)
    names = sorted(graph.modules)
    place = {name: number for number, name in enumerate(names)}
    arrows = [(place[one], place[two]) for one in names for two in graph.find_modules_directly_imported_by(one)]
    rows, columns = np.array(arrows).T
    matrix = coo_matrix((np.ones(len(arrows)), (rows, columns)), shape=(len(names), len(names)))
    label = connected_components(matrix, connection="strong")[1]
    groups = [[name for name in names if label[place[name]] == number] for number in np.unique(label)]
    return [group for group in groups if len(group) > 1]


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    found = circles("deephash", "webui")
    for group in found:
        print(f"a circle of {len(group)} files: {', '.join(group)}")
    sys.exit(f"{len(found)} circles of imports; see docs/architecture.md for the order of files" if found else 0)
