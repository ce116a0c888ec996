"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets, which are not part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real data sets are absent (../shared/data beside the checkout)")
    return SHARED_DATA
