#!/usr/bin/env bash
# Install what is missing for one purpose; quick when nothing is.
#
#   scripts/setup.sh core    .venv with rnn-codegen, and a C compiler        (make demo)
#   scripts/setup.sh lint    ... and ruff and mypy                           (make lint)
#   scripts/setup.sh docs    ... and what builds the documentation's site     (make docs)
#   scripts/setup.sh test    ... and all that the tests need, Debian packages (requirements/system.txt),
#                            Python packages and npm packages                (make test)
#
# PYTHON names the Python to use (3.11 to 3.13; otherwise the first one found).
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:?usage: setup.sh core|lint|docs|test}

say() { printf '%s\n' "setup: $*" >&2; }

# Succeeds when $1, a command or a file, is there.
there() {
    case $1 in
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# Install Debian packages, or say in one sentence what a person has to do.
install_packages() {
    local packages=("$@") run=()
    if ! command -v apt-get >/dev/null; then
        say "missing, and there is no apt-get here: install what your system calls ${packages[*]}, then try again."
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null || ! sudo -v; then
            say "missing, and neither root nor sudo is possible: ask an administrator to run \`apt-get install ${packages[*]}\`, then try again."
            exit 1
        fi
        run=(sudo)
    fi
    run+=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
    say "installing ${packages[*]}"
    "${run[@]}" update
    "${run[@]}" install -y --no-install-recommends "${packages[@]}" >/dev/null
}

# Print the first Python that can make an environment.
find_python() {
    local python
    for python in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

missing=()
find_python >/dev/null || missing+=(python3 python3-venv)
while read -r group package sign; do
    case $group in '' | '#'*) continue ;; esac
    [ "$group" = core ] || [ "$purpose" = test ] || continue
    there "$sign" || missing+=("$package")
done <requirements/system.txt
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"

if ! python=$(find_python); then
    say "no Python 3.10 or later that can make environments was found; name one: make PYTHON=/path/to/python3.11"
    exit 1
fi
if ! .venv/bin/python -c '' 2>/dev/null; then
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi

# One stamp for each purpose: pip runs only after a change of what it would install.
extras='' stamp=.venv/.installed-$purpose
case $purpose in
    core) ;;
    lint) extras='[test]' ;;
    docs) extras='[docs]' ;;
    test) extras='[test,oracle,fuzz,docs]' ;;
    *) say "unknown purpose $purpose"; exit 2 ;;
esac
wanted=$(cat pyproject.toml requirements/test.txt | cksum)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    say "installing Python packages into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --constraint requirements/test.txt --editable ".$extras"
    echo "$wanted" >"$stamp"
fi

if [ "$purpose" = test ]; then
    wanted=$(cat tests/npm/package-lock.json | cksum)
    if [ "$(cat tests/npm/node_modules/.installed 2>/dev/null)" != "$wanted" ]; then
        say "installing npm packages into tests/npm/node_modules"
        npm ci --prefix tests/npm --no-audit --no-fund --loglevel=error >/dev/null
        echo "$wanted" >tests/npm/node_modules/.installed
    fi
fi
