#!/usr/bin/env bash
# Writes constraints.txt: exact versions for every platform and Python, without hashes and without registry addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
header=$(sed -n '/^#/p' constraints.txt)
pins=$(echo 'torch==2.13.0' | uv pip compile setup.py --extra dev --universal --python-version 3.10 --constraint - \
    --no-header --no-annotate --no-emit-index-url --quiet)
printf '%s\n%s\n' "$header" "$pins" > constraints.txt
