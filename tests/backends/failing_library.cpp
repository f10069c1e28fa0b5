// Shared libraries that are no backends, one way each, chosen by GRADSPIKE_FAILURE.
#include <stdexcept>

#include "csrc/chip/backend_library.h"

#define NO_ENTRY 1
#define OTHER_VERSION 2
#define THROWS 3
#define GIVES_NONE 4

namespace {

[[maybe_unused]] gradspike::chip::Backend* create(const char* /*name*/) {
#if GRADSPIKE_FAILURE == THROWS
  throw std::runtime_error("no chip is attached");
#else
  return nullptr;
#endif
}

}  // namespace

#if GRADSPIKE_FAILURE == OTHER_VERSION
extern "C" const gradspike::chip::BackendLibrary* gradspike_backend_v1() {
  static const gradspike::chip::BackendLibrary library = {2, gradspike::chip::backend_layout(), create};
  return &library;
}
#elif GRADSPIKE_FAILURE != NO_ENTRY
GRADSPIKE_BACKEND_LIBRARY(create)
#endif
