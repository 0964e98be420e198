"""
OpenVINO's own runtime on the exported model, as its documentation has it for throughput.

Run by precision.py in an environment with openvino, nncf and tokenizers. `int8` is quantised by
NNCF after training, with transformers' settings and 300 passages to calibrate with, which is what
optimum-intel does; `bf16` is the processor's own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

MAX_TOKENS = 256
BATCH = 32
CALIBRATION = 300


class OpenVINO:
    """Batches of 32 texts of like length, as many at once as the runtime asks for."""

    def __init__(self, folder: Path, texts: list[str], precision: str) -> None:
        import openvino
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()
        model = openvino.Core().read_model(folder / "model.onnx")
        settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        if precision == "bf16":
            settings["INFERENCE_PRECISION_HINT"] = "bf16"
        if precision == "int8":
            model = self._quantised(model, texts)
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        self._queue = openvino.AsyncInferQueue(compiled)

    def _quantised(self, model: object, texts: list[str]) -> object:
        import nncf

        fed = [self._fed([text])[0] for text in texts[:CALIBRATION]]
        return nncf.quantize(
            model,
            nncf.Dataset(fed),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(fed),
        )

    def _fed(self, texts: list[str]) -> tuple[dict, np.ndarray]:
        read = self._tokenizer.encode_batch(texts)
        ids = np.array([item.ids for item in read])
        mask = np.array([item.attention_mask for item in read])
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": 0 * ids}, mask

    def embed(self, texts: list[str]) -> np.ndarray:
        """One row a text."""
        found = np.empty((len(texts), 384), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))

        def pool(request: object, told: tuple) -> None:
            chosen, mask = told
            tokens = request.get_output_tensor(0).data
            summed = (tokens * mask[:, :, None]).sum(axis=1)
            found[chosen] = summed / np.linalg.norm(summed, axis=1, keepdims=True)

        self._queue.set_callback(pool)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            feeds, mask = self._fed([texts[index] for index in chosen])
            self._queue.start_async(feeds, (chosen, mask))
        self._queue.wait_all()
        return found
