#!/usr/bin/env bash
# Fills .venv from the hashed requirement files; a torch that is already importable there is kept, whatever its build.
set -euo pipefail
cd "$(dirname "$0")/.."
stamp=.venv/.requirements.sha256
wanted=$(cat requirements/base.txt requirements/torch.txt requirements/bootstrap.txt pyproject.toml | sha256sum | cut -d' ' -f1)
[ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then exit 0; fi
python=.venv/bin/python
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Inver needs Python 3.11 or newer; .venv has $("$python" --version). Set PYTHON=/path/to/python3.11 and remove .venv." >&2; exit 1; }
[ -x .venv/bin/uv ] || "$python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
install=(.venv/bin/uv pip install --python "$python" --no-deps)
# Compiled here and not at each start, which would cost every command a second where bytecode is not written.
"${install[@]}" --compile-bytecode --require-hashes -r requirements/base.txt
if "$python" -c 'import torch' 2>/dev/null; then
  echo "keeping the torch that is already in .venv: $("$python" -c 'import torch; print(torch.__version__)')"
else
  echo "installing torch as the registry builds it, with CUDA: about 3 GB to download, 6 GB on disk (put a CPU build into .venv first to avoid it)"
  "${install[@]}" --require-hashes -r requirements/torch.txt
fi
"${install[@]}" --no-build-isolation --editable .
"$python" -m compileall -q schemas streams engines consumers query_api inver
echo "$wanted" > "$stamp"
