"""The clients of OCI that a run uses, made when they are first needed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, cast

from embedway_deploy.login import SignIn
from embedway_deploy.plan import OCIPlace

if TYPE_CHECKING:
    from embedway_deploy.client import DataScience, Images, LogSearch, ObjectStorage

__all__ = ["Cloud"]

# Seconds: to connect, and to read. A part of an upload has 128 MiB.
_TIMEOUT = (10.0, 300.0)


class Cloud:
    """One region of OCI, as one user. `place.service_endpoint` replaces every host."""

    def __init__(self, sign_in: SignIn, place: OCIPlace) -> None:
        self.sign_in = sign_in
        self.place = place

    @cached_property
    def data_science(self) -> DataScience:
        """Models, deployments, work requests."""
        from oci.data_science import DataScienceClient

        return cast("DataScience", DataScienceClient(self._config, **self._options))

    @cached_property
    def object_storage(self) -> ObjectStorage:
        """Buckets and what is in them."""
        from oci.object_storage import ObjectStorageClient

        return cast("ObjectStorage", ObjectStorageClient(self._config, **self._options))

    @cached_property
    def images(self) -> Images:
        """Container images."""
        from oci.artifacts import ArtifactsClient

        return cast("Images", ArtifactsClient(self._config, **self._options))

    @cached_property
    def log_search(self) -> LogSearch:
        """What deployments have printed."""
        from oci.loggingsearch import LogSearchClient

        return cast("LogSearch", LogSearchClient(self._config, **self._options))

    @contextmanager
    def ads(self) -> Iterator[None]:
        """
        oracle-ads calls the same OCI as the same user while the block runs; for one thread at a
        time, because ADS keeps that in a global of the process.
        """
        import warnings

        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        with warnings.catch_warnings():
            # ADS imports what it has deprecated itself.
            warnings.simplefilter("ignore")
            from ads.common.auth import AuthContext

            # Its import sets up the log of the whole process.
            root.handlers[:] = handlers
            root.setLevel(level)
            options = {**self._options}
            signer = options.pop("signer")
            with AuthContext(config=dict(self._config), signer=signer, client_kwargs=options):
                yield

    @property
    def _config(self) -> dict[str, object]:
        return {**self.sign_in.config, "region": self.place.region}

    @property
    def _options(self) -> dict[str, object]:
        from oci.retry import DEFAULT_RETRY_STRATEGY

        options: dict[str, object] = {
            "signer": self.sign_in.signer,
            "timeout": _TIMEOUT,
            "retry_strategy": DEFAULT_RETRY_STRATEGY,
        }
        if self.place.service_endpoint:
            options["service_endpoint"] = self.place.service_endpoint
        return options
