"""A file of keys, and gateways that ask for them."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from embedway_gateway.access import issue
from embedway_gateway.access.file import KeysFile
from embedway_gateway.config.schema import Config
from embedway_gateway.quota.allowance import Allowance


class Keys:
    """As `embedway keys` makes them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "keys.yaml"
        self.file = KeysFile(self.path)

    def make(
        self,
        name: str,
        *models: str,
        expires: datetime | None = None,
        admin: bool = False,
        **limits: int,
    ) -> str:
        """The secret of a new one."""
        _, secret = issue.create(
            self.file,
            name=name,
            models=models or ("*",),
            allowance=Allowance(**limits),
            expires=expires,
            admin=admin,
        )
        return secret

    def revoke(self, which: str) -> None:
        issue.revoke(self.file, which)

    def rotate(self, which: str, **overlap: float) -> str:
        return issue.rotate(self.file, which, overlap=timedelta(**overlap))[1]

    def guard(self, config: Config, **server: Any) -> Config:
        """The same configuration, of a gateway that asks for these keys."""
        values = config.server.model_dump() | {"keys": self.path} | server
        return config.model_copy(update={"server": type(config.server).model_validate(values)})
