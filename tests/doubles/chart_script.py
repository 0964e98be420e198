"""
Renders a chart with Helm and holds what comes out against the schemas of Kubernetes.

Run by the Python of operations_environment.py. Input: {chart, versions, cases: {name: values}};
output: {lint: [...], cases: {name: {documents: [...]} or {error}}}, both JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

# Both are in that Python only.
import helm_python  # type: ignore[import-not-found]
import kubernetes_validate  # type: ignore[import-not-found]
import yaml

# Of an operator: Kubernetes itself has no schema of it.
_FOREIGN = {"ServiceMonitor"}


def _rendered(chart: Any, values: dict[str, Any], versions: list[str]) -> dict[str, Any]:
    try:
        files = chart.render(values, name="demo", namespace="prod")
    except helm_python.HelmError as error:
        return {"error": str(error)}
    texts = [text for name, text in files.items() if name.endswith((".yaml", ".yml"))]
    documents = [one for text in texts for one in yaml.safe_load_all(text) if one]
    for document in documents:
        if document["kind"] not in _FOREIGN:
            for version in versions:
                kubernetes_validate.validate(document, version, strict=True)
    return {"documents": documents}


def main() -> None:
    asked = json.load(sys.stdin)
    first = next(iter(asked["cases"].values()))
    lint = helm_python.lint(asked["chart"], first, strict=True)
    with helm_python.Chart.load(asked["chart"]) as chart:
        cases = {
            name: _rendered(chart, values, asked["versions"])
            for name, values in asked["cases"].items()
        }
    json.dump({"lint": lint, "cases": cases}, sys.stdout)


if __name__ == "__main__":
    main()
