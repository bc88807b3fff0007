#!/usr/bin/env bash
# Makes .venv from a lock, once; later calls find its stamp and return at once. Called by `make`.
#
#   SEMINAR_PYTHON=/path/to/python   use this interpreter
#   SEMINAR_STACK=1.16|1.21          use this stack, whatever the machine could run
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD
VENV=$ROOT/.venv
LOG=$ROOT/.tools/bootstrap.log
# Bytecode makes importing tfx 3 to 4 times faster, so nothing may switch it off.
unset PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH VIRTUAL_ENV

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$@" >&2; exit 1; }

[ "$(uname -s)" = Linux ] && [ "$(uname -m)" = x86_64 ] ||
  die "TFX has wheels for Linux on x86-64 only; this is $(uname -s) on $(uname -m)." \
      "Use an x86-64 Linux machine or container (debian:12, ubuntu:24.04)."

# --- which stack ----------------------------------------------------------------------------------------------
glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | awk '{print $2}')
[ -n "$glibc" ] || die "no glibc found (musl?). TFX's wheels need glibc: use Debian 12+, Ubuntu 22.04+ or the like."
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; } # at_least WANTED FOUND
libstdcxx() { # The libstdc++ that the dynamic loader would take.
  { ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null || true; } |
    awk '/libstdc\+\+\.so\.6 .*x86-64/ {print $NF; exit}'
}
new_stack_runs() {
  local lib
  at_least 2.39 "$glibc" || { why="glibc $glibc is older than 2.39, which TFX 1.21 needs"; return 1; }
  lib=$(libstdcxx)
  if [ -n "$lib" ] && ! grep -aq CXXABI_1.3.15 "$lib"; then
    why="libstdc++ is older than GCC 14's (no CXXABI_1.3.15), which TFX 1.21 needs"
    return 1
  fi
  why="glibc $glibc can run it"
}

# --- which interpreter ----------------------------------------------------------------------------------------
# Those on PATH first, then where version managers and installers put them. A pyenv shim on PATH that its
# .python-version does not select exits non-zero and is passed over.
candidates() { # version
  command -v "python$1" || true
  command -v python3 || true
  command -v python || true
  local dir
  for dir in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".* "$HOME/.pyenv/versions/$1".* \
    /opt/python/cp"${1/./}"*/ "$HOME"/.local/share/uv/python/cpython-"$1"* "$HOME"/.asdf/installs/python/"$1".* \
    "$HOME"/.local/share/mise/installs/python/"$1".* /usr /usr/local /opt/python"$1" "$HOME"/miniconda3/envs/*; do
    [ -x "$dir/bin/python$1" ] && printf '%s\n' "$dir/bin/python$1"
  done
}
refused=()
usable() { # python version
  local found
  # With .venv/bin on PATH, as the tfx command line wants it, the venv must not be asked to rebuild itself.
  case $1 in "$VENV"/*) return 1 ;; esac
  found=$("$1" -c 'import struct, sys; print("%d.%d" % sys.version_info[:2], struct.calcsize("P"))' 2>/dev/null) || return 1
  [ "$found" = "$2 8" ] || return 1
  if ! "$1" -c 'import ensurepip, venv' 2>/dev/null; then
    refused+=("$1 is Python $2 but lacks venv: apt-get install python$2-venv")
    return 1
  fi
  if [ "$2" = 3.10 ] && ! { command -v c++ >/dev/null && "$1" -c '
import pathlib, sys, sysconfig
sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())' 2>/dev/null; }; then
    refused+=("$1 is Python 3.10, for which pyfarmhash must be compiled: apt-get install g++ python3.10-dev")
    return 1
  fi
}
find_python() { # versions, best first
  local version candidate
  for version in "$@"; do
    while read -r candidate; do
      usable "$candidate" "$version" && { PYTHON=$candidate; PYVERSION=$version; return 0; }
    done < <(candidates "$version" | awk '!seen[$0]++')
  done
  return 1
}

versions_of() { case $1 in 1.21) echo 3.12 3.13 3.11 ;; 1.16) echo 3.11 3.10 ;; esac }
pick() { # stack
  STACK=$1
  if [ -n "${SEMINAR_PYTHON:-}" ]; then
    local version
    for version in $(versions_of "$1"); do
      usable "$SEMINAR_PYTHON" "$version" && { PYTHON=$SEMINAR_PYTHON; PYVERSION=$version; return 0; }
    done
    return 1
  fi
  # shellcheck disable=SC2046
  find_python $(versions_of "$1")
}
what_to_install() {
  if [ -n "${SEMINAR_PYTHON:-}" ]; then
    say "SEMINAR_PYTHON=$SEMINAR_PYTHON does not suit $1: it is $("$SEMINAR_PYTHON" --version 2>&1 | head -n 1)."
  fi
  say "no suitable Python found for $1."
  [ "${#refused[@]}" -eq 0 ] || printf 'setup:   %s\n' "${refused[@]}" | awk '!seen[$0]++' >&2
  if [ "$1" != "TFX 1.16" ] && new_stack_runs; then
    die "Install one of Python 3.11, 3.12 or 3.13 with venv, for example:" \
        "  Ubuntu 24.04: apt-get install python3.12 python3.12-venv    Debian 13: apt-get install python3 python3-venv"
  fi
  die "Install Python 3.11 or 3.10 with venv, for example:" \
      "  Debian 12: apt-get install python3 python3-venv    elsewhere: pyenv install 3.11" \
      "or name one: SEMINAR_PYTHON=/path/to/python3.11 make ..."
}

case ${SEMINAR_STACK:-auto} in
  1.16 | 1.21)
    why="SEMINAR_STACK asks for it"
    pick "$SEMINAR_STACK" || what_to_install "TFX $SEMINAR_STACK"
    ;;
  auto)
    if new_stack_runs; then
      if ! pick 1.21; then
        why="no Python 3.11 to 3.13 for TFX 1.21"
        pick 1.16 || what_to_install "TFX 1.21 or 1.16"
      fi
    else
      pick 1.16 || what_to_install "TFX 1.16"
    fi
    ;;
  *) die "SEMINAR_STACK=$SEMINAR_STACK: expected 1.16 or 1.21." ;;
esac

# --- the venv -------------------------------------------------------------------------------------------------
LOCK=locks/tfx-$STACK-py${PYVERSION/./}.txt
stamp="$(sha256sum "$LOCK" setup.py | sha256sum | cut -c1-16) $ROOT"
if [ -x "$VENV/bin/python" ] && [ "$(cat "$VENV/.seminar-stamp" 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi
say "TFX $STACK on Python $PYVERSION ($PYTHON): $why"

mkdir -p "$ROOT/.tools"
: > "$LOG"
step() { # text command...
  local text=$1 start=$SECONDS pid
  shift
  "$@" >> "$LOG" 2>&1 &
  pid=$!
  if [ -t 2 ]; then
    while kill -0 "$pid" 2>/dev/null; do
      printf '\rsetup: %s ... %ds' "$text" $((SECONDS - start)) >&2
      sleep 1
    done
    printf '\r' >&2
  fi
  if ! wait "$pid"; then
    say "$text: FAILED after $((SECONDS - start))s. The log's end:"
    tail -n 25 "$LOG" >&2
    die "whole log: ${LOG#"$ROOT"/}. No network? The package index is pip's own: see \`pip config list\`."
  fi
  say "$text: done in $((SECONDS - start))s"
}

rm -rf "$VENV"
uv_pin=$(grep -E '^uv==' "$LOCK")
step "creating .venv" bash -c '"$1" -m venv "$2" && "$2/bin/pip" install --quiet --disable-pip-version-check "$3"' \
  - "$PYTHON" "$VENV" "$uv_pin"
export VIRTUAL_ENV=$VENV UV_PYTHON_DOWNLOADS=never
# Behind a company's proxy only the system's certificates are right; uv takes its own bundle unless told.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then export UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1; fi
step "installing $(grep -c == "$LOCK") packages from $LOCK (about 2.9 GB)" \
  "$VENV/bin/uv" pip sync --compile-bytecode "$LOCK"
step "installing seminar_tf" "$VENV/bin/uv" pip install --no-deps --no-build-isolation --editable "$ROOT"
printf '%s\n' "$stamp" > "$VENV/.seminar-stamp"
