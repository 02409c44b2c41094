"""Runs the command line as a user does: a separate process."""

import os
import subprocess
import sys
from pathlib import Path


def deephash(*arguments, cwd=None, timeout=240, **environment) -> subprocess.CompletedProcess:
    """Run ``deephash ARGUMENTS`` and return stdout, stderr and the exit code."""
    program = Path(sys.executable).with_name("deephash")
    return subprocess.run(
        [str(program), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
