#!/usr/bin/env bash
# Train the models of examples/ again, or of those named, in an environment of their own. Each train.py
# writes into a folder that is thrown away, and fails when its accuracy is below what its README says.
#
#   scripts/train_examples.sh [NAME...]
#
# With KEEP=1 the models in examples/ are replaced; then convert the files of the example again.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${XDG_CACHE_HOME:-$HOME/.cache}/rnn-codegen-examples
wanted=$(cksum <examples/requirements.txt)

if [ "$(cat "$venv/complete" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "$venv"
    "${PYTHON:-python3.11}" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r examples/requirements.txt \
        numpy h5py jinja2 click
    echo "$wanted" >"$venv/complete"
fi

names=("$@")
[ $# -gt 0 ] || names=(examples/*/)
export PYTHONPATH=$PWD KERAS_BACKEND=jax
for name in "${names[@]}"; do
    name=$(basename "$name")
    echo "== $name"
    if [ "${KEEP:-0}" = 1 ]; then
        "$venv/bin/python" "examples/$name/train.py" --out "examples/$name"
    else
        out=$(mktemp -d)
        "$venv/bin/python" "examples/$name/train.py" --out "$out"
        rm -r "$out"
    fi
done
