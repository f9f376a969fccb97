"""For all rooms: hypothesis without deadlines (a busy machine is no fault of the code), and a
second file system.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)  # the same for the same code
settings.load_profile("ci" if os.environ.get("CI") else "patient")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than tmp_path."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        assert sys.platform != "linux", "/dev/shm is a file system of its own on every Linux"
        pytest.skip("LEFT OUT: there is no second file system to try it on")
    folder = Path(tempfile.mkdtemp(prefix="asyncnet-test-", dir=other))
    yield folder
    shutil.rmtree(folder)
