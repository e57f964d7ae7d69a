#!/usr/bin/env bash
# All that is to be known of a GPU, in six minutes on one card; each part alone in two.
#
#     benchmarks/gpu.sh [--parts tests,steps,memory,ranking,windows,demo] [--output FOLDER] [--device cuda|cpu]
#
# tests    the tests marked `gpu`
# steps    training steps: eager, CUDA graphs, compiled cells, batch 2 to 16; TFLOP/s over the measured matrix peak
# memory   training steps of several sizes, the allocator's peak against the prediction
# ranking  candidates on a CT-sized phantom: the tree's saving, the cost of scoring
# windows  the sliding window beside MONAI's
# demo     a whole run on phantoms: search, training, evaluation
#
# A part that fails or runs out of time costs itself; the last lines say how each one went, and the status is 1 if any
# did not. `--device cpu` is a dry run of the same commands in small: it tells that they run, and its figures nothing.
# Needed beside PyTorch: c2fnas' requirements, and pytest; none of its extras.
set -u
cd "$(dirname "$0")/.." || exit 2
parts=tests,steps,memory,ranking,windows,demo output=${OUT:-/tmp/c2fnas-gpu} device=cuda python=${PYTHON:-python3}
while [ $# -gt 0 ]; do
  case $1 in
    --parts) parts=$2 ;;
    --output) output=$2 ;;
    --device) device=$2 ;;
    *) sed -n '2,16p' "$0"; exit 2 ;;
  esac
  shift 2
done
mkdir -p "$output"
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
small() { if [ "$device" = cpu ]; then echo "$1"; else echo "$2"; fi; }

limit() {  # seconds of a part; together 360
  case $1 in tests) echo 50 ;; steps) echo 100 ;; memory) echo 30 ;; ranking) echo 60 ;; windows) echo 50 ;; demo) echo 70 ;; esac
}

part() {
  case $1 in
    tests) $python -m pytest -q -p no:cacheprovider -m gpu tests/gpu ;;
    steps) $python benchmarks/gpu_parts.py steps --device "$device" --seconds 80 --output "$output" ;;
    memory) $python benchmarks/gpu_parts.py memory --device "$device" --seconds 20 --output "$output" ;;
    ranking)
      # shellcheck disable=SC2046
      $python benchmarks/ranking_ct.py --device "$device" --work "$work/ct" --output "$output/ranking" \
        $(small "--shape 80 80 48 --patch 32 --training-patch 32 --iterations 4 --paths 3 --windows 1" \
          "--width 1 --precision bf16 --paths 24 --iterations 40") ;;
    windows)
      # shellcheck disable=SC2046
      $python benchmarks/sliding_window.py --device "$device" --repeats 1 --output "$output/windows" \
        --workloads $(small quick organ) ;;
    demo)
      $python -c "from pathlib import Path; from c2fnas.data.phantoms import write_phantoms; \
        write_phantoms(Path('$work/Task00_Phantoms'), cases=10, test_cases=0)" &&
        $python -m c2fnas run "$work/Task00_Phantoms" "$work/run" --budget 1m --devices "$(small cpu cuda:0)" --json \
          > "$output/demo.json" ;;
    *) echo "no such part: $1" >&2; return 2 ;;
  esac
}

if [ -n "${C2FNAS_GPU_PART:-}" ]; then part "$C2FNAS_GPU_PART"; exit; fi
failed=0 summary=""
for name in ${parts//,/ }; do
  echo "== $name"
  seconds=$(limit "$name") start=$SECONDS
  # A dry run on busy cores may take longer: it is about whether the commands run.
  C2FNAS_GPU_PART=$name timeout -k 5 "$(small 900 "${seconds:-1}")" \
    bash "$0" --output "$output" --device "$device" > >(tee "$output/$name.log") 2>&1
  status=$?
  [ $status -eq 0 ] || failed=1
  case $status in 0) how=well ;; 124 | 137) how="out of time" ;; *) how="failed with status $status" ;; esac
  summary+=$(printf '%-8s %4d s  %s' "$name" $((SECONDS - start)) "$how")$'\n'
done
printf '%s' "$summary" | tee "$output/summary.txt"
exit $failed
