"""Processes that change a collection, and are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

from tests.paths import ROOT


class Victims:
    """Starts processes that change a collection, and kills them; see ``collection_child.py``."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "DEEPHASH_QUIET": "1"}
        self.parent = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.collection_child"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
        )  # fmt: skip
        self.hear()

    def hear(self) -> dict:
        line = self.parent.stdout.readline()
        assert line, "the process did not start; its error stands above"
        return json.loads(line)

    def killed(self, job: list[str], rng: random.Random) -> list[dict]:
        """Run a job, kill it at a random moment after it is ready, return what it had said."""
        self.parent.stdin.write(json.dumps(job) + "\n")
        self.parent.stdin.flush()
        number = self.hear()["pid"]
        longest = self.hear().get("ready")  # seconds in which the job does what it does, on this machine and now
        assert longest is not None, "the job did not start; its error stands above"
        time.sleep(rng.uniform(0, longest))
        os.kill(number, signal.SIGKILL)
        said = list(iter(self.hear, {"ended": -signal.SIGKILL}))
        assert not any("ended" in record for record in said), "the job ended by itself; its error stands above"
        return said
