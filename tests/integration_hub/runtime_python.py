"""A Python that has what `requirements.txt` names and nothing else, as the image has.

Tests run where much more is installed: a module that only development brings is missed by no test there.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
import venv
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[2]


@cache
def runtime_python() -> str:
    """The interpreter of a virtual environment of links to the installed packages; one for all tests."""
    folder = Path(tempfile.mkdtemp(prefix="hub-runtime-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    venv.create(folder, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    for name in _named():
        found = metadata.distribution(name)
        for top in {
            file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")
        }:
            source, target = Path(str(found.locate_file(top))), packages / top
            if source.exists() and not target.exists():
                target.symlink_to(source)
    return str(folder / "bin" / "python")


def _named() -> list[str]:
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    found = [Requirement(re.sub(r"\s--.*", "", line)) for line in lines if line and line[0] not in "#- "]
    return [one.name for one in found if one.marker is None or one.marker.evaluate()]
