"""What pyproject.toml cannot say: the page and the configurations lie beside the package and are installed inside."""

from pathlib import Path

from setuptools import find_packages, setup

folders = sorted(folder for folder in Path("configs").iterdir() if folder.is_dir())
configurations = [f"deephash.configs.{folder.name}" for folder in folders]
own = find_packages(include=["deephash", "deephash.*"])
setup(
    packages=[*own, "deephash.webui", "deephash.configs", *configurations],
    package_dir={"deephash.webui": "webui", "deephash.configs": "configs"},
    package_data={
        "deephash": ["py.typed"],
        "deephash.webui": ["*.css", "*.js", "*.html", "*.png"],
        "deephash.data": ["splits/*"],
        "deephash.foreign": ["schemas/*"],
        **{name: ["*.yaml"] for name in configurations},
    },
)
