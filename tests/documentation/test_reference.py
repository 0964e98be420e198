"""What is made of the source is fresh, and the schema for editors says what the gateway does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from embedway_gateway.config.schema import Config

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
UPSTREAM = {"name": "one", "engine": "tei", "url": "http://127.0.0.1:3000"}
MODEL = {"name": "m", "dimensions": 384, "upstreams": [UPSTREAM]}

_YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_all_that_is_made_of_the_source_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "tools" / "reference.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_every_part_of_the_file_has_its_table() -> None:
    text = (DOCS / "configuration.md").read_text("utf-8")
    shown = set(re.findall(r"<!-- made of (\w+) -->", text))
    schema = json.loads((DOCS / "embedway.schema.json").read_text("utf-8"))

    # Their two keys are shown where they are used.
    assert shown == schema["$defs"].keys() - {"PromptConfig", "Variable"}
    assert len(re.findall(r"^\| `\w+` \|", text, re.MULTILINE)) > 90


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads((DOCS / "embedway.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_schema_takes_every_configuration_of_the_pages(validator: Draft202012Validator) -> None:
    files = [
        (page.name, text)
        for page in DOCS.rglob("*.md")
        for text in _YAML.findall(page.read_text("utf-8"))
    ]
    refused = {
        f"{name}: {error.json_path}: {error.message[:200]}"
        for name, text in files
        for error in validator.iter_errors(yaml.safe_load(text))
    }

    assert refused == set()
    assert len(files) >= 15


@pytest.mark.parametrize(
    "change",
    [
        {"server": {"prot": 8080}},
        {"server": {"port": 70000}},
        {"server": {"request_timeout": "2 fortnights"}},
        {"server": {"max_body_bytes": "10 MiBs"}},
        {"server": {"log": "xml"}},
        {"cache": {"type": "disk"}},
        {"routing": {"attempts": 0}},
        {"credentials": {"a": {"type": "oci", "principal": "nobody"}}},
        {"models": [{**MODEL, "upstreams": []}]},
        {"models": [{**MODEL, "upstreams": [{**UPSTREAM, "engine": "teis"}]}]},
    ],
    ids=str,
)
def test_the_schema_refuses_what_the_gateway_refuses(
    validator: Draft202012Validator, change: dict[str, Any]
) -> None:
    config = {"models": [MODEL], **change}

    assert not validator.is_valid(config)
    with pytest.raises(ValidationError):
        Config.model_validate(config)


def test_a_variable_may_stand_for_any_value(validator: Draft202012Validator) -> None:
    upstream = {**UPSTREAM, "engine": "${ENGINE}", "priority": "${PRIORITY}", "timeout": "${WAIT}"}

    assert validator.is_valid(
        {"server": {"port": "${PORT}"}, "models": [{**MODEL, "upstreams": [upstream]}]}
    )


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.svg")), ids=lambda path: path.name)
def test_a_diagram_has_words_that_can_be_selected_and_fetches_nothing(path: Path) -> None:
    root = ET.parse(path).getroot()
    tags = [element.tag.rpartition("}")[2] for element in root.iter()]
    titles = [element.text for element in root if element.tag.endswith("title")]

    assert tags.count("text") >= 10
    assert not {"script", "image", "foreignObject", "use"} & set(tags)
    assert titles[0]
    assert "prefers-color-scheme:dark" in path.read_text("utf-8")
    assert not [
        value for element in root.iter() for value in element.attrib.values() if "//" in value
    ]
