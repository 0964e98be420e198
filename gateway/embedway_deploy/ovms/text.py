"""The texts that OpenVINO Model Server is configured with, in both layouts of a repository."""

from __future__ import annotations

import json

__all__ = ["graph", "old_graph", "repository", "subconfig"]

_SESSION = """node {
  calculator: "OpenVINOModelServerSessionCalculator"
  output_side_packet: "SESSION:%(what)s"
  node_options: {
    [type.googleapis.com / mediapipe.OpenVINOModelServerSessionCalculatorOptions]: {
      servable_name: %(servable)s
    }
  }
}
"""


def repository(name: str) -> str:
    """`config.json` of the repository: one graph, in the folder of its name."""
    content = {
        "mediapipe_config_list": [{"name": name, "base_path": name}],
        "model_config_list": [],
    }
    return _json(content)


def graph(*, pooling: str, truncate: bool | None, exact: bool) -> str:
    """
    `graph.pbtxt` since 2025.2; `pooling` is CLS, LAST or MEAN, or empty where the version knows no
    such field, and `truncate` None. `exact`: float32, also on a processor that has bfloat16.
    """
    plugin = {"NUM_STREAMS": "1"} | ({"INFERENCE_PRECISION_HINT": "f32"} if exact else {})
    options = [
        'models_path: "./"',
        f"plugin_config: '{json.dumps(plugin)}'",
        "normalize_embeddings: true",
        *([f"pooling: {pooling}"] if pooling else []),
        *([] if truncate is None else [f"truncate: {json.dumps(truncate)}"]),
        'target_device: "CPU"',
    ]
    inner = ",\n      ".join(options)
    return f"""input_stream: "REQUEST_PAYLOAD:input"
output_stream: "RESPONSE_PAYLOAD:output"
node {{
  name: "EmbeddingsExecutor"
  input_side_packet: "EMBEDDINGS_NODE_RESOURCES:embeddings_servable"
  calculator: "EmbeddingsCalculatorOV"
  input_stream: "REQUEST_PAYLOAD:input"
  output_stream: "RESPONSE_PAYLOAD:output"
  node_options: {{
    [type.googleapis.com / mediapipe.EmbeddingsCalculatorOVOptions]: {{
      {inner}
    }}
  }}
}}
"""


def old_graph(name: str) -> str:
    """`graph.pbtxt` until 2025.1: it pools the first token, and knows nothing else."""
    tokenizer = _SESSION % {"what": "tokenizer", "servable": _quoted(f"{name}_tokenizer_model")}
    model = _SESSION % {"what": "embeddings", "servable": _quoted(f"{name}_embeddings_model")}
    return f"""input_stream: "REQUEST_PAYLOAD:input"
output_stream: "RESPONSE_PAYLOAD:output"
{tokenizer}{model}node {{
  input_side_packet: "TOKENIZER_SESSION:tokenizer"
  input_side_packet: "EMBEDDINGS_SESSION:embeddings"
  calculator: "EmbeddingsCalculator"
  input_stream: "REQUEST_PAYLOAD:input"
  output_stream: "RESPONSE_PAYLOAD:output"
  node_options: {{
    [type.googleapis.com / mediapipe.EmbeddingsCalculatorOptions]: {{
      normalize_embeddings: true
    }}
  }}
}}
"""


def subconfig(name: str, *, exact: bool) -> str:
    """`subconfig.json`: the two models of the old graph."""
    plugin: dict[str, object] = {"NUM_STREAMS": 1}
    if exact:
        plugin["INFERENCE_PRECISION_HINT"] = "f32"
    models: list[dict[str, object]] = [
        {"name": f"{name}_tokenizer_model", "base_path": "tokenizer"},
        {
            "name": f"{name}_embeddings_model",
            "base_path": "embeddings",
            "target_device": "CPU",
            "plugin_config": plugin,
        },
    ]
    return _json({"model_config_list": [{"config": one} for one in models]})


def _quoted(text: str) -> str:
    return json.dumps(text)


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
