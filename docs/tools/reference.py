"""
Writes what the pages say of the schema and of the command line, from both.

    python docs/tools/reference.py

Between two comments of `configuration.md` stands the table of a part of the file; all of
`reference/commands.md`, `embedway.schema.json` and `diagrams/` is made here. A test sees that they
are fresh.
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


if __name__ == "__main__":
    for path, text in made().items():
        path.write_text(text, "utf-8")
