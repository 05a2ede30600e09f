#!/usr/bin/env bash
# A real run, from the model to what brings it back: tools/real-run/run.sh PYTHON OUT
# PYTHON: that of the environment "main" which tools/make-peers.sh makes. OUT: a folder; what is there already is not done again.
# docs/real-run.md tells what comes out of it. 22 minutes on two idle cores, and 3 GB of disk.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
python=$1
mkdir -p "$2" && cd "$2"
# Else each start of Python may compile all libraries anew.
unset PYTHONDONTWRITEBYTECODE
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error UNTWIST_CACHE="$PWD/cache"
# Spectra need a LAPACK: that of NumPy is there on every machine. One that was named is used.
openblas=$("$python" -c 'import glob, os, numpy; print(*glob.glob(os.path.join(os.path.dirname(numpy.__file__), "..", "numpy.libs", "*openblas*")))')
export UNTWIST_LAPACK="${UNTWIST_LAPACK:-$openblas}"
untwist() { node "$here/../../bin/untwist.js" "$@"; }

# A step's name, the file or folder that shows that it is done, and its command; how long it took goes into times.txt.
step() {
  local name=$1 result=$2 start=$SECONDS
  shift 2
  [ -e "$result" ] && return
  echo "== $name"
  "$@"
  printf '%s: %d s\n' "$name" $((SECONDS - start)) | tee -a times.txt
}
screen() { local file=$1; shift; "$@" >"$file.part"; mv "$file.part" "$file"; cat "$file"; }

mkdir -p screens
step "model" model "$python" "$here/make_model.py" model
step "task" task "$python" "$here/make_task.py" task
for kind in full lora; do
  last=$([ $kind = full ] && echo 60 || echo 20)
  step "$kind: training by TRL" "$kind/checkpoint-$last" "$python" "$here/train.py" $kind model task $kind
  step "$kind: follow" "runs/$kind" untwist follow $kind --base model --out "runs/$kind"
  step "$kind: eval" "screens/$kind-eval.txt" \
    screen "screens/$kind-eval.txt" untwist eval "runs/$kind" --environment items:task/items --max-new-tokens 96
  step "$kind: spectra" "screens/$kind-spectra.txt" screen "screens/$kind-spectra.txt" untwist spectra "runs/$kind"
  step "$kind: show" "screens/$kind-show.txt" screen "screens/$kind-show.txt" untwist show "runs/$kind"
done
# What could have been known without the OOD questions; it takes three checkpoints, and the LoRA has one.
step "full: signals" screens/full-signals.txt screen screens/full-signals.txt untwist signals runs/full

# What brings it back: singular directions of the base, and half of the way back to it, all tensors.
step "restore" restored untwist restore --into full/checkpoint-60 --from model --top 0.8 --out restored
cat >halfway.yaml <<'PLAN'
target: full/checkpoint-60
source: model
operations:
  - { operation: rollback, matrices: "*", strength: 0.5 }
PLAN
step "half of the way back" halfway untwist apply halfway.yaml --out halfway
for repaired in restored halfway; do
  step "$repaired: eval" "screens/$repaired-eval.txt" \
    screen "screens/$repaired-eval.txt" untwist eval $repaired --environment items:task/items --max-new-tokens 96
done
cat times.txt
