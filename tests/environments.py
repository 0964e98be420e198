"""
Makes all that the tests compare with and that ours must not have, as they would at first use.

    python tests/environments.py

The longest first: whoever tests meanwhile waits for nothing but what it is about to use.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from doubles.conda_environment import conda_python
from doubles.infinity_environment import infinity_python
from doubles.litellm_environment import litellm_python
from doubles.mteb_environment import mteb_packages
from doubles.neighbours_environment import neighbours_python
from doubles.node_client import node_folder
from doubles.openvino_environment import openvino_python
from doubles.ray_environment import ray_path
from doubles.vector_stores import vector_stores_python

ALL: tuple[Callable[[], Path], ...] = (
    infinity_python,
    mteb_packages,
    neighbours_python,
    vector_stores_python,
    litellm_python,
    openvino_python,
    ray_path,
    conda_python,
    node_folder,
)


def main() -> None:
    for make in ALL:
        begun = time.perf_counter()
        place = make()
        print(f"{place} ({time.perf_counter() - begun:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
