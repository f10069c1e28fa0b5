#!/bin/sh
# Everything that needs a GPU, in one command; a short table comes last.
#
#   tests/gpu_check.sh [--dry-run] [--without-sanitizer] [--without-benchmarks] [BUILD_DIRECTORY]
#
# Builds with -DGRADSPIKE_GPU_TESTS=ON (default: build-gpu), then runs the kernel tests, twenty repetitions of them, the
# four tools of compute-sanitizer on small shapes, the Python tests of the CUDA operators (bits of the CPU, determinism
# over repetitions and streams, graph capture of training steps), and the benchmarks. --dry-run prints the commands.
# PYTHON names the interpreter with PyTorch (python3), COMPUTE_SANITIZER the tool where it is not on PATH.
set -u
cd "$(dirname "$0")/.." || exit 2

dry_run=0
with_sanitizer=1
with_benchmarks=1
build='build-gpu'
for argument in "$@"; do
  case $argument in
    --dry-run) dry_run=1 ;;
    --without-sanitizer) with_sanitizer=0 ;;
    --without-benchmarks) with_benchmarks=0 ;;
    -*)
      echo "usage: $0 [--dry-run] [--without-sanitizer] [--without-benchmarks] [BUILD_DIRECTORY]" >&2
      exit 2
      ;;
    *) build=$argument ;;
  esac
done
python=${PYTHON:-python3}
sanitizer=${COMPUTE_SANITIZER:-compute-sanitizer}
tests=$build/bin/test_kernels_on_gpu
failed=0
table=''

record() {
  [ "$2" = ok ] || failed=1
  table="$table$(printf '%-40s %s' "$1" "$2")
"
}

# run NAME COMMAND...: runs, or prints, one check and notes how it ended.
run() {
  name=$1
  shift
  printf '\n== %s\n$ %s\n' "$name" "$*"
  if [ $dry_run -eq 1 ]; then
    record "$name" 'not run (dry run)'
  elif "$@"; then
    record "$name" ok
  else
    record "$name" "FAILED ($?)"
  fi
}

has_gpu() {
  command -v nvidia-smi > /dev/null 2>&1 && nvidia-smi -L 2> /dev/null | grep -q '^GPU'
}

if [ $dry_run -eq 0 ] && ! has_gpu; then
  echo "$0: this machine has no GPU that nvidia-smi lists, so nothing was checked." >&2
  exit 1
fi
if [ $dry_run -eq 0 ]; then
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,power.limit --format=csv
fi

run 'configure' cmake -S . -B "$build" -G Ninja -DGRADSPIKE_GPU_TESTS=ON "-DPython3_EXECUTABLE=$(command -v "$python")"
run 'build' cmake --build "$build"
if [ $dry_run -eq 0 ] && [ ! -x "$tests" ]; then
  echo "$0: the build has left no $tests." >&2
  exit 1
fi

run 'kernels against the CPU' "$tests" --gtest_brief=1
run 'twenty repetitions' "$tests" --gtest_repeat=20 --gtest_brief=1 '--gtest_filter=-*Large*:*LongRun*'

if [ $with_sanitizer -eq 1 ]; then
  # The tools slow every access down: leave out long runs, large tiles and many chains.
  short='--gtest_filter=-*Long*:*Large*:*Many*:*Wide*:*BetterThan*'
  # They do not work on every machine that has a GPU, so one small launch comes first.
  run 'compute-sanitizer works here' "$sanitizer" --tool memcheck --error-exitcode 1 "$tests" \
    '--gtest_filter=GradedSpikesWeightGrad.NoRowsGiveZeros'
  if [ $failed -eq 0 ] || [ $dry_run -eq 1 ]; then
    run 'memcheck' "$sanitizer" --tool memcheck --leak-check full --error-exitcode 1 "$tests" --gtest_brief=1 "$short"
    run 'racecheck' "$sanitizer" --tool racecheck --racecheck-report all --error-exitcode 1 "$tests" --gtest_brief=1 \
      "$short"
    run 'synccheck' "$sanitizer" --tool synccheck --error-exitcode 1 "$tests" --gtest_brief=1 "$short"
    run 'initcheck' "$sanitizer" --tool initcheck --error-exitcode 1 "$tests" --gtest_brief=1 "$short"
  else
    record 'memcheck, racecheck, synccheck, initcheck' 'NOT RUN: a check before them failed'
  fi
fi

# Where PyTorch cannot use the GPU, the tests below would skip themselves.
run 'PyTorch and the CUDA library' env "GRADSPIKE_LIBRARY_DIR=$PWD/$build/lib" "PYTHONPATH=$PWD/python" "$python" -c \
  'import gradspike, torch; assert torch.cuda.is_available() and gradspike.version_info().cuda == "loaded"'
run 'operators: bits, streams, graphs' env "GRADSPIKE_LIBRARY_DIR=$PWD/$build/lib" "PYTHONPATH=$PWD/python" \
  "$python" -m pytest -q -rs tests/python/test_cuda.py tests/python/test_cuda_roads.py
if [ $with_benchmarks -eq 1 ]; then
  run 'benchmarks' env "GRADSPIKE_LIBRARY_DIR=$PWD/$build/lib" "PYTHONPATH=$PWD/python" \
    "$python" tests/benchmarks/bench_gpu.py
fi

printf '\n%s' "$table"
[ $dry_run -eq 1 ] && exit 0
exit $failed
