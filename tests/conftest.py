"""Settings every test shares."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # two workers on two cores: threads that spin starve the others
