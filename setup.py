"""The wheel holds workflow, profiles and default study beside the code; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROJECT = ("Snakefile", "workflow", "profiles", "config/config.yaml", "config/schema.json")


class BuildWithProject(build_py):
    """Copy the workflow into the package that is built; an editable install finds it in the clone."""

    def run(self):
        """Build the package, then copy."""
        super().run()
        if self.editable_mode:
            return
        for name in PROJECT:
            target = Path(self.build_lib, "cortseq", "_project", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if Path(name).is_dir():
                unused = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(name, target, ignore=unused, dirs_exist_ok=True)
            else:
                shutil.copyfile(name, target)


setup(cmdclass={"build_py": BuildWithProject})
