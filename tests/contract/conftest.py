"""One address for all stand-ins of the matrix."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doubles.engine_gateway import Street, Town
from doubles.serving import served


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    street = Street()
    with served(street) as url:
        yield Town(url, street, tmp_path_factory.mktemp("oci") / "key.pem")
