"""What pyproject.toml cannot say: the page and the configurations lie beside the package, and are installed inside it."""

from pathlib import Path

from setuptools import find_packages, setup

configurations = [f"deephash.configs.{folder.name}" for folder in sorted(Path("configs").iterdir()) if folder.is_dir()]
setup(
    packages=[*find_packages(include=["deephash", "deephash.*"]), "deephash.webui", "deephash.configs", *configurations],
    package_dir={"deephash.webui": "webui", "deephash.configs": "configs"},
    package_data={
        "deephash": ["py.typed"],
        "deephash.webui": ["*.css", "*.js", "*.html", "*.png"],
        "deephash.data": ["splits/*"],
        "deephash.foreign": ["schemas/*"],
        **{name: ["*.yaml"] for name in configurations},
    },
)
