#!/usr/bin/env bash
# Writes both constraints files from setup.py: exact versions for every platform and Python, without hashes and without
# registry addresses. Pins that setup.py still allows stay, so that a second call changes nothing; with --upgrade, the
# newest versions are taken. Needs uv on the path.
set -euo pipefail
cd "$(dirname "$0")/.."
upgrade=("$@")

resolve() { # FILE ARGUMENTS...: keeps the comments that open FILE, resolves anew below them
    local file=$1 header pins
    header=$(sed -n '/^#/p' "$file")
    uv pip compile setup.py --universal --python-version 3.10 --no-python-downloads --no-header --no-annotate \
        --no-emit-index-url --quiet --constraint - --output-file "$file" "${@:2}" ${upgrade[@]+"${upgrade[@]}"}
    pins=$(< "$file")
    printf '%s\n%s\n' "$header" "$pins" > "$file"
}

resolve constraints.txt --extra dev <<< 'torch==2.13.0'
resolve constraints-minimum.txt --extra minimum --resolution lowest-direct < /dev/null
