from __future__ import annotations

from pathlib import Path

import pytest

from doubles.operations_environment import operations_python


@pytest.fixture(scope="session")
def tools() -> Path:
    """The Python that has Helm, hadolint and the schemas."""
    return operations_python()
