"""What pyproject.toml cannot say: the page and the configurations lie beside the package and are installed inside.

Where the build knows its home (a workflow of GitHub, or DEEPHASH_HOME_URL), links of the README lead there, and the
package names it.
"""

import os
import re
from pathlib import Path

from setuptools import find_packages, setup


def home() -> str:
    """Return the address of the repository, or nothing."""
    server, name = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    return os.environ.get("DEEPHASH_HOME_URL", f"{server}/{name}" if server and name else "").rstrip("/")


def description(where: str) -> str:
    """Return the README; with links that work away from the repository, where its address is known."""
    text = Path("README.md").read_text(encoding="utf8")
    if not where:
        return text
    text = re.sub(r"(!\[[^\]]*\]\()(?!https?:|#)", rf"\g<1>{where}/raw/main/", text)
    return re.sub(r"((?<!!)\[[^\]]*\]\()(?!https?:|#)", rf"\g<1>{where}/blob/main/", text)


folders = sorted(folder for folder in Path("configs").iterdir() if folder.is_dir())
configurations = [f"deephash.configs.{folder.name}" for folder in folders]
own = find_packages(include=["deephash", "deephash.*"])
pages = {"Source": "", "Issues": "/issues", "Changelog": "/blob/main/CHANGELOG.md", "Documentation": "/tree/main/docs"}
setup(
    packages=[*own, "deephash.webui", "deephash.configs", *configurations],
    package_dir={"deephash.webui": "webui", "deephash.configs": "configs"},
    package_data={
        "deephash": ["py.typed"],
        "deephash.webui": ["*.css", "*.js", "*.html", "*.png"],
        "deephash.cli": ["templates/*/*"],
        "deephash.data": ["splits/*"],
        "deephash.foreign": ["schemas/*"],
        **{name: ["*.yaml"] for name in configurations},
    },
    long_description=description(home()),
    long_description_content_type="text/markdown",
    project_urls={name: home() + page for name, page in pages.items()} if home() else {},
)
