#!/usr/bin/env bash
# Writes both constraints files from setup.py: exact versions for every platform and Python, without hashes and without
# registry addresses. Needs uv on the path.
set -euo pipefail
cd "$(dirname "$0")/.."

resolve() { # FILE ARGUMENTS...: keeps the comments that open FILE, resolves anew below them
    local file=$1 header pins
    header=$(sed -n '/^#/p' "$file")
    pins=$(uv pip compile setup.py --universal --python-version 3.10 --no-header --no-annotate --no-emit-index-url \
        --quiet --constraint - "${@:2}")
    printf '%s\n%s\n' "$header" "$pins" > "$file"
}

resolve constraints.txt --extra dev <<< 'torch==2.13.0'
resolve constraints-minimum.txt --extra minimum --extra evaluation --extra medical --resolution lowest-direct < /dev/null
