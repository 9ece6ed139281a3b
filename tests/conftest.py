"""What every test may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real collections beside the repository; skips the test where there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real collections (../shared/data) are not here")
    return SHARED_DATA
