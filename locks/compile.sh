#!/usr/bin/env bash
# Recompiles the locks, one a stack and Python. Needs uv (the project's own venv has it) and a package index.
# locks/compile.sh changes what the .in files ask for; locks/compile.sh --upgrade takes every package's newest version.
set -euo pipefail
cd "$(dirname "$0")"
UV=${UV:-../.venv/bin/uv}
upgrade=("$@")
overrides=$(mktemp)
trap 'rm -f "$overrides"' EXIT

compile() { # stack python
  # tensorflow-cpu takes the place of tensorflow, which would bring 0.75 GB for GPUs that this lock does not serve.
  echo "tensorflow==0 ; sys_platform == 'never'" > "$overrides"
  # TFDV asks for pyfarmhash < 0.4, which has no wheels and so needs a C++ compiler; 0.5 has them, with the same API.
  echo "pyfarmhash>=0.5.1 ; python_version >= '3.11'" >> "$overrides"
  echo "pyfarmhash<0.4 ; python_version < '3.11'" >> "$overrides"
  "$UV" pip compile --quiet --no-header --no-annotate "${upgrade[@]}" --python-version "$2" \
    --python-platform x86_64-manylinux_2_40 --override "$overrides" "tfx-$1.in" -o "tfx-$1-py${2/./}.txt"
  echo "locks/tfx-$1-py${2/./}.txt"
}

for python in 3.10 3.11; do compile 1.16 $python; done
for python in 3.11 3.12 3.13; do compile 1.21 $python; done
