#!/usr/bin/env bash
# Builds kernels/kernels.wasm and kernels/relaxed.wasm from source/: tools/kernels/build.sh FOLDER
# FOLDER keeps the compiler. Needs Python 3 with pip; README.md says what comes from where.
set -euo pipefail
mkdir -p "$1"
folder=$(cd "$1" && pwd)
own=$(cd "$(dirname "$0")" && pwd)
zig=0.17.1

if [ ! -x "$folder/zig/bin/python" ]; then
  python3 -m venv "$folder/zig"
  "$folder/zig/bin/pip" install --quiet --disable-pip-version-check "ziglang==$zig"
fi

flags=(-target wasm32-freestanding -mcpu=mvp+simd128+atomics+bulk_memory+mutable_globals+sign_ext+nontrapping_fptoint
  -O3 -ffp-contract=off -fno-sanitize=all -Wall -Wextra -Werror -nostdlib -std=c17)
link=(-Wl,--no-entry -Wl,--import-memory -Wl,--shared-memory -Wl,--max-memory=4294901760 -Wl,-z,stack-size=131072
  -Wl,--gc-sections -Wl,--strip-all -Wl,--export=__stack_pointer -Wl,--export=__heap_base)
build() {
  "$folder/zig/bin/python" -m ziglang cc "${flags[@]}" "${link[@]}" "${@:2}" "$own"/source/*.c -o "$folder/$1.wasm"
  install -m 644 "$folder/$1.wasm" "$own/../../kernels/$1.wasm"
}
mkdir -p "$own/../../kernels"
build kernels
# The same with fused multiply-add: up to a third faster, where Node.js can.
build relaxed -DRELAXED -mrelaxed-simd
sha256sum "$own"/../../kernels/*.wasm
