"""
Writes what the pages say of the schema and of the command line, from both.

    python docs/tools/reference.py [--check]

Between two comments of `configuration.md` stands the table of a part of the file; all of
`reference/commands.md`, `embedway.schema.json` and `diagrams/` is made here. A test sees that they
are fresh: with `--check` nothing is written, and what is stale is named.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from command import command_page
from picture import drawings
from schema import json_schema, with_tables

DOCS = Path(__file__).parents[1]


def made() -> dict[Path, str]:
    """Every file that is made, wholly or in part, with its text."""
    configuration = DOCS / "configuration.md"
    return {
        configuration: with_tables(configuration.read_text("utf-8")),
        DOCS / "reference" / "commands.md": command_page(),
        DOCS / "embedway.schema.json": json_schema(),
        **{DOCS / "diagrams" / name: text for name, text in drawings().items()},
    }


def main(*, check: bool) -> None:
    """Write what differs, or name it and exit with 1."""
    files = made().items()
    stale = [path for path, text in files if not path.exists() or path.read_text("utf-8") != text]
    if check and stale:
        names = "\n".join(f"  {path.relative_to(DOCS.parent)}" for path in stale)
        sys.exit(f"these are not what the source says; `make reference` writes them:\n{names}")
    for path in stale:
        path.write_text(made()[path], "utf-8")


if __name__ == "__main__":
    main(check="--check" in sys.argv[1:])
