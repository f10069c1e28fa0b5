#!/bin/sh
# Runs the kernel tests on a GPU, then under the four tools of compute-sanitizer, and prints a table last.
#
#   tests/cuda/run_gpu_checks.sh BUILD_DIRECTORY
#
# The build needs -DGRADSPIKE_GPU_TESTS=ON. COMPUTE_SANITIZER names the tool where it is not on PATH.
set -u
if [ $# -ne 1 ]; then
  echo "usage: $0 BUILD_DIRECTORY" >&2
  exit 2
fi
tests=$(find "$1" -type f -name test_kernels_on_gpu -perm -u+x | head -n 1)
if [ -z "$tests" ]; then
  echo "$0: no test_kernels_on_gpu under $1; configure with -DGRADSPIKE_GPU_TESTS=ON" >&2
  exit 2
fi
sanitizer=${COMPUTE_SANITIZER:-compute-sanitizer}
# Shapes stay as they are, but the tools slow every access down: leave out the long runs and the largest sums.
short='*:-*LongRun*:*ManyRows*:*Beyond32Bits*'
failed=0
table=''

record() {
  if [ "$2" -eq 0 ]; then
    result=ok
  else
    result="FAILED ($2)"
    failed=1
  fi
  table="$table$1: $result
"
}

"$tests"
record 'results' $?

"$tests" --gtest_repeat=20 --gtest_brief=1
record 'twenty repetitions' $?

if command -v "$sanitizer" > /dev/null 2>&1; then
  "$sanitizer" --tool memcheck --leak-check full --error-exitcode 1 "$tests" --gtest_brief=1 --gtest_filter="$short"
  record 'memcheck' $?
  "$sanitizer" --tool racecheck --racecheck-report all --error-exitcode 1 "$tests" --gtest_brief=1 \
    --gtest_filter="$short"
  record 'racecheck' $?
  "$sanitizer" --tool synccheck --error-exitcode 1 "$tests" --gtest_brief=1 --gtest_filter="$short"
  record 'synccheck' $?
  "$sanitizer" --tool initcheck --error-exitcode 1 "$tests" --gtest_brief=1 --gtest_filter="$short"
  record 'initcheck' $?
else
  record "compute-sanitizer ($sanitizer was not found)" 1
fi

printf '\n%s' "$table"
exit $failed
