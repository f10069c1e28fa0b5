// The entry of libFuzzer for one target of targets.h, FUZZ_TARGET.
#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  gradspike::chip::fuzz::FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
