#!/usr/bin/env bash
# Builds lapack/lapack.wasm from LAPACK's Fortran and the kernels in source/: tools/lapack/build.sh FOLDER
# FOLDER keeps what is downloaded and translated. Needs Debian's apt, and Python 3 with pip; README.md says what comes from where.
set -euo pipefail
mkdir -p "$1"
folder=$(cd "$1" && pwd)
own=$(cd "$(dirname "$0")" && pwd)
lapack=lapack_3.11.0.orig.tar.gz
lapack_sum=4b9ba79bfd4921ca820e83979db76ab3363155709444a787979e81c22285ffa9
zig=0.17.1

# Debian's sources, by the machine's own list of packages but with lists and a cache in the folder.
get_lapack() {
  [ -f "$folder/$lapack" ] && return
  mkdir -p "$folder"/apt/{parts,lists/partial,cache/archives/partial}
  sed 's/^Types: deb$/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >"$folder/apt/parts/source.sources"
  local options=(-qq -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$folder/apt/parts"
    -o "Dir::State::lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt/cache")
  apt-get "${options[@]}" update
  (cd "$folder" && apt-get "${options[@]}" source --download-only lapack=3.11.0-2)
}

# The translator, unpacked and not installed.
get_f2c() {
  [ -x "$folder/f2c/usr/bin/f2c" ] && return
  (cd "$folder" && apt-get -qq download f2c && dpkg -x f2c_*.deb f2c)
}

get_zig() {
  [ -x "$folder/zig/bin/python" ] && return
  python3 -m venv "$folder/zig"
  "$folder/zig/bin/pip" install --quiet --disable-pip-version-check "ziglang==$zig"
}

get_lapack
get_f2c
get_zig
echo "$lapack_sum  $folder/$lapack" | sha256sum --check --quiet
rm -rf "$folder/fortran" "$folder/c"
mkdir "$folder/fortran" "$folder/c"
tar -xf "$folder/$lapack" -C "$folder/fortran" --strip-components=1

# -A: prototypes; -a: no static variables; -R: single precision stays single.
cd "$folder/c"
while read -r name; do
  "$folder/f2c/usr/bin/f2c" -A -a -R "$folder/fortran/SRC/$name.f" 2>/dev/null
done < <(grep -v '^#' "$own/routines.txt" | tr ' ' '\n')

# No contraction to fused operations: results are the same everywhere.
flags=(-target wasm32-wasi -mcpu=mvp+simd128+atomics+bulk_memory+mutable_globals+sign_ext+nontrapping_fptoint
  -O3 -ffp-contract=off -fno-sanitize=all -w "-I$own/source")
link=(-mexec-model=reactor -nostartfiles -Wl,--no-entry -Wl,--import-memory -Wl,--shared-memory
  -Wl,--max-memory=4294901760 -Wl,-z,stack-size=262144 -Wl,--gc-sections -Wl,--strip-all)
for name in __stack_pointer malloc free $(grep '^# called:' "$own/routines.txt" | cut -d: -f2); do
  link+=("-Wl,--export=$name")
done
"$folder/zig/bin/python" -m ziglang cc "${flags[@]}" "${link[@]}" "$folder"/c/*.c "$own"/source/*.c -o "$folder/lapack.wasm"
cp "$folder/lapack.wasm" "$own/../../lapack/lapack.wasm"
sha256sum "$own/../../lapack/lapack.wasm"
