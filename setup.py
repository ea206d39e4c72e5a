"""The wheel takes along what a study needs beside the code; all else about the package is in `pyproject.toml`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# As `cxrlib.study.SHIPPED` has them.
TAKEN = ("book", "notebooks", "profiles", "studies", "benchmarks/results/public-small", "_config.yml")


class WithPages(build_py):
    """Copies pages, notebooks, profiles and studies into `cxrlib/share`; an editable install needs no copy."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for name in TAKEN:
            source, target = Path(name), Path(self.build_lib) / "cxrlib" / "share" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"), dirs_exist_ok=True)
            else:
                shutil.copy(source, target)


setup(cmdclass={"build_py": WithPages})
