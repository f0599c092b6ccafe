#!/usr/bin/env bash
# Make the environment of the benchmarks in a cache folder, and print its Python. Quick when it is
# there already; about 2 GB and a minute when not.
#
# RNN_BENCH_ENV names another folder for it; PYTHON another Python 3.11.
set -euo pipefail
cd "$(dirname "$0")"
environment=${RNN_BENCH_ENV:-${XDG_CACHE_HOME:-$HOME/.cache}/rnn-codegen-bench/env}
wanted=$(cat requirements.txt setup.sh | cksum)
if [ "$(cat "$environment/.installed" 2>/dev/null)" != "$wanted" ]; then
    printf 'benchmarks: installing Python packages into the cache\n' >&2
    "${PYTHON:-python3.11}" -m venv "$environment"
    pip=("$environment/bin/python" -m pip install --quiet --disable-pip-version-check)
    "${pip[@]}" --requirement requirements.txt >&2
    "${pip[@]}" --no-deps tf_keras==2.21.0 >&2
    echo "$wanted" >"$environment/.installed"
fi
for missing in gcc clang /usr/include/eigen3 arm-none-eabi-gcc qemu-system-arm; do
    [ -e "$missing" ] || command -v "$missing" >/dev/null ||
        printf 'benchmarks: %s is not there; what needs it is left out\n' "$missing" >&2
done
echo "$environment/bin/python"
