#!/usr/bin/env bash
# Run the tests of live PyTorch modules (tests/live), in an environment of their own: torch is large,
# so `make test` does without it. TORCH names another version; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
torch=${TORCH:-2.13.0}
venv=${XDG_CACHE_HOME:-$HOME/.cache}/rnn-codegen-torch/$torch

if [ ! -e "$venv/complete" ]; then
    rm -rf "$venv"
    "${PYTHON:-python3.11}" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        "torch==$torch" numpy h5py jinja2 click pytest hypothesis
    touch "$venv/complete"
fi
exec "$venv/bin/python" -m pytest tests/live "$@"
