#!/bin/sh
# Starts infinity on the model that AI Core has put into the container. Whatever decides a vector is
# said here: infinity's own defaults are half precision on a GPU, and code of the model's.
set -eu

MODEL_PATH="${MODEL_PATH:-/mnt/models}"
if [ ! -f "$MODEL_PATH/config.json" ]; then
  echo "$MODEL_PATH has no config.json: the artifact's url must be the model's own folder" >&2
  exit 1
fi

case "${TRUST_REMOTE_CODE:-false}" in
  [Tt]rue) trust=--trust-remote-code ;;
  *) trust=--no-trust-remote-code ;;
esac

# The torch engine pools as the model's folder says, and reads no ONNX file, quantised or not.
# ARG is several words on purpose.
# shellcheck disable=SC2086
exec infinity_emb v2 \
  --model-id "$MODEL_PATH" \
  --served-model-name "$MODEL_SERVE_NAME" \
  --host "${HOST:-0.0.0.0}" \
  --port "${PORT:-9000}" \
  --url-prefix "${URL_PRE_FIX:-/v1}" \
  --batch-size "${BATCH_SIZE:-32}" \
  --engine torch \
  --dtype "${DTYPE:-float32}" \
  --embedding-dtype float32 \
  --pooling-method "${POOLING:-auto}" \
  --no-bettertransformer \
  --no-compile \
  --lengths-via-tokenize \
  "$trust" \
  ${ARG:-}
