#!/usr/bin/env bash
# Serves the small default model (or $LANCET_MODEL), asks it one question, prints the answer and the address, and goes
# on serving until Ctrl-C. With ONCE=1 it stops after the answer.
set -euo pipefail
cd "$(dirname "$0")/.."
lancet=$1
port=${PORT:-8111}
model=${LANCET_MODEL:-$(tools/fetch_smollm2.sh)}

"$lancet" serve -m "$model" --port "$port" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT

until curl -sf -o /dev/null "http://127.0.0.1:$port/health"; do
  kill -0 "$server" 2>/dev/null || { wait "$server"; exit 1; }
  sleep 0.2
done

question='Write one sentence about the sea.'
echo
echo "You:    $question"
printf 'Lancet: '
curl -sS "http://127.0.0.1:$port/v1/chat/completions" -H 'Content-Type: application/json' \
  -d "{\"model\":\"any\",\"messages\":[{\"role\":\"user\",\"content\":\"$question\"}],\"max_tokens\":60,\"temperature\":0}" |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["choices"][0]["message"]["content"].strip())'
echo
echo "Serving http://127.0.0.1:$port/v1 (OpenAI-style). Ctrl-C stops it."
[ "${ONCE:-}" = 1 ] || wait "$server"
