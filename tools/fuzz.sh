#!/usr/bin/env bash
# Runs every libFuzzer target of a build folder for T seconds each, on a copy of its corpus. Ends with the first finding.
set -euo pipefail
folder=$1; seconds=${2:-60}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
found=0
for target in "$folder"/fuzz_*; do
  [ -x "$target" ] && [ -f "$target" ] || continue
  found=1
  name=$(basename "$target"); name=${name#fuzz_}
  cp -r "fuzz/corpus/$name" "$work/$name"
  echo "== $name"
  "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 "$work/$name" 2>&1 |
    tee "$work/log" | grep -E 'ERROR|stat::number_of_executed_units|stat::peak_rss_mb|SUMMARY' || true
  if grep -q 'ERROR' "$work/log"; then cat "$work/log"; exit 1; fi
done
[ "$found" = 1 ] || { echo "no fuzz targets in $folder" >&2; exit 1; }
