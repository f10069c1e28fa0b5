// What a shared library provides to be a backend. It links to libgradspike_core.so and contains, once:
//
//   GRADSPIKE_BACKEND_LIBRARY([](const char* name) -> gradspike::chip::Backend* { return new MyBackend(name); })
//
// Then target "library:/path/to/libmine.so", or "library:mine" for libgradspike_backend_mine.so on the loader's path,
// is this backend.
#pragma once

#include <cstdint>

#include "csrc/chip/backend.h"

namespace gradspike::chip {

/// Raised whenever the meaning of csrc/chip/backend.h changes; the symbol below carries it too.
constexpr std::int64_t kBackendLibraryVersion = 1;

/// Differs where two compilers, or two states of the headers, lay the structures out differently.
constexpr std::uint64_t backend_layout() {
  std::uint64_t layout = 0;
  for (const std::size_t size : {sizeof(SpikeTensor), sizeof(CompileOptions), sizeof(RunOptions), sizeof(Observables),
                                 sizeof(PopulationRecord), sizeof(Network), sizeof(Population), sizeof(Projection),
                                 sizeof(Mapping), sizeof(PlacedSynapse), sizeof(IntegerMatrix)}) {
    layout = layout * 1000003U + size;
  }
  return layout;
}

struct BackendLibrary {
  std::int64_t version;
  std::uint64_t layout;
  /// A new backend, owned by the caller; it may throw. `name` is what the user calls it.
  Backend* (*create)(const char* name);
};

}  // namespace gradspike::chip

#define GRADSPIKE_BACKEND_LIBRARY(...)                                                                                \
  extern "C" __attribute__((visibility("default"))) const ::gradspike::chip::BackendLibrary* gradspike_backend_v1() { \
    static const ::gradspike::chip::BackendLibrary library = {::gradspike::chip::kBackendLibraryVersion,              \
                                                              ::gradspike::chip::backend_layout(), __VA_ARGS__};      \
    return &library;                                                                                                  \
  }
