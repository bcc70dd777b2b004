#!/usr/bin/env bash
# Makes .venv from requirements.lock and gets the servers. Needs Python 3.11 or later; changes nothing outside the
# checkout but the servers' cache folder, and the caches of pip and uv. `make clean` says where these are.
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_SYSTEM_CERTS=1 # as pip does: those of the machine, where its operator may have put one
exec 9<Makefile
flock 9 # two at once: the second waits, and finds everything done

fail() {
    echo "setup: $*" >&2
    exit 1
}

find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

# pip, whichever way it can be had: in the environment, the machine's own, or Debian's wheel of it, merely unpacked.
pip() {
    local unpacked
    if .venv/bin/python -m pip --version >/dev/null 2>&1; then
        .venv/bin/python -m pip "$@"
    elif "$python" -m pip --python .venv/bin/python --version >/dev/null 2>&1; then
        "$python" -m pip --python .venv/bin/python "$@"
    else
        unpacked=.venv/pip
        # The file and not the module, which would import packages that are not installed yet.
        "$python" api/embedded/apt.py python3-pip-whl "$unpacked" ||
            fail "this Python has neither ensurepip nor pip: install Debian's package python3-venv"
        PYTHONPATH=$(echo "$unpacked"/usr/share/python-wheels/pip-*.whl) .venv/bin/python -m pip "$@"
    fi
}

install_packages() {
    python=$(find_python) || fail "Python 3.11 or later is needed, and none of that age is on the PATH"
    if ! .venv/bin/python -c '' 2>/dev/null; then
        echo "setup: making .venv with $python"
        "$python" -m venv --clear .venv >/dev/null 2>&1 || "$python" -m venv --clear --without-pip .venv
    fi
    echo "setup: installing what requirements.lock names"
    if [ ! -x .venv/bin/uv ]; then
        sed -n '/^uv==/,/[^\\]$/p' requirements.lock >.venv/uv.lock
        pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
    fi
    # pip knows mirrors that only its own configuration names.
    .venv/bin/uv pip sync --quiet --require-hashes --python .venv/bin/python requirements.lock ||
        pip install --quiet --require-hashes -r requirements.lock ||
        fail "the packages cannot be had: see above"
    .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
}

wanted=$(cat requirements.lock pyproject.toml | cksum)" $PWD"
if [ "$(cat .venv/.ready 2>/dev/null)" != "$wanted" ] || ! .venv/bin/python -c '' 2>/dev/null; then
    install_packages
    echo "$wanted" >.venv/.ready
fi
exec .venv/bin/python -m api.embedded.provision
