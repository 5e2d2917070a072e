#!/usr/bin/env bash
# Installs what Lancet needs on Debian 12 or later: `run` for building and serving, `all` for testing too.
# Packages that are there already are left alone, so without missing ones this needs neither root nor a network.
set -euo pipefail
cd "$(dirname "$0")/.."

run="g++ cmake ninja-build libboost1.81-dev libboost-json1.81-dev libfmt-dev libxxhash-dev libssl-dev libcli11-dev unicode-data
     libcurl4-openssl-dev libedit-dev
     python3 python3-venv ca-certificates curl"
all="$run libgtest-dev libbenchmark-dev libpcre2-dev clang-16 clang-format-16 clang-tidy-16 llvm-16 ccache git
     json-schema-test-suite groff-base dpkg-dev libclang-rt-16-dev openssl"

case "${1:-all}" in
  run) wanted=$run ;;
  all) wanted=$all ;;
  *) echo "usage: tools/deps.sh run|all" >&2; exit 2 ;;
esac

missing=()
for package in $wanted; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  sudo=
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "tools/deps.sh: needs root or sudo to install: ${missing[*]}" >&2; exit 1; }
    sudo=sudo
  fi
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# A local virtual environment; remade when the requirements change.
[ "${1:-all}" = run ] && requirements=/dev/null || requirements=tests/python/requirements.txt
stamp=.venv/.installed-${1:-all}
if [ ! -x .venv/bin/python ]; then python3 -m venv .venv; fi
if ! cmp -s "$requirements" "$stamp"; then
  if [ -s "$requirements" ]; then .venv/bin/python -m pip install -q --disable-pip-version-check -r "$requirements"; fi
  cp "$requirements" "$stamp"
fi
