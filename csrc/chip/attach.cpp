#include "csrc/chip/attach.h"

#include <dlfcn.h>

#include <cstdlib>

#include "csrc/chip/backend_error.h"
#include "csrc/chip/backend_library.h"
#include "csrc/chip/child_process.h"
#include "csrc/chip/messages.h"
#include "csrc/chip/names.h"

namespace gradspike::chip {
namespace {

constexpr char kProcess[] = "process:";
constexpr char kLibrary[] = "library:";
constexpr char kSymbol[] = "gradspike_backend_v1";
constexpr std::size_t kMaxNameBytes = 64;
constexpr std::size_t kMaxLoaderText = 500;

bool begins_with(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

void require_name(const std::string& name) {
  constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  const bool spells =
      !name.empty() && name.size() <= kMaxNameBytes && name.find_first_not_of(kLetters) == std::string::npos;
  GRADSPIKE_REQUIRE(spells, "attach: name must be 1 to ", kMaxNameBytes, " letters, digits, '_', '-' or '.', got \"",
                    one_line(name, kMaxNameBytes), "\"");
  GRADSPIKE_REQUIRE(name != "emulator" && name != "native" && !is_device(name), "attach: name must not be \"", name,
                    "\", which is built in");
}

std::string loader_error() {
  const char* const text = ::dlerror();
  return one_line(text != nullptr ? text : "unknown reason", kMaxLoaderText);
}

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw BackendError(gradspike::detail::concatenate(parts...));
}

/// Loaded for good: programs and results may outlive every other use of it.
std::shared_ptr<const Backend> open_library(const std::string& name, const std::string& library) {
  GRADSPIKE_REQUIRE(!library.empty(), "attach: library must be a path or a name, got an empty text");
  const bool is_path = library.find('/') != std::string::npos;
  const std::string file = is_path ? library : "libgradspike_backend_" + library + ".so";
  void* const handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    fail("backend \"", name, "\": the library cannot be loaded: ", loader_error());
  }
  using Entry = const BackendLibrary* (*)();
  const auto entry = reinterpret_cast<Entry>(::dlsym(handle, kSymbol));
  const BackendLibrary* const found = entry != nullptr ? entry() : nullptr;
  if (found == nullptr || found->create == nullptr) {
    fail("backend \"", name, "\": library \"", file, "\" is no backend of this version, it lacks the function ",
         kSymbol);
  }
  if (found->version != kBackendLibraryVersion || found->layout != backend_layout()) {
    fail("backend \"", name, "\": library \"", file, "\" was built for another gradspike (interface ", found->version,
         ", layout ", found->layout, "), this one has interface ", kBackendLibraryVersion, ", layout ",
         backend_layout(), ": build it again");
  }
  try {
    std::shared_ptr<const Backend> backend(found->create(name.c_str()));
    GRADSPIKE_REQUIRE(backend != nullptr, "it gave none");
    return backend;
  } catch (const std::exception& error) {
    fail("backend \"", name, "\": library \"", file, "\" cannot make its backend: ", error.what());
  }
}

double timeout_from_environment() {
  const char* const text = std::getenv("GRADSPIKE_BACKEND_TIMEOUT");
  if (text == nullptr || *text == '\0') {
    return kDefaultBackendTimeout;
  }
  char* end = nullptr;
  const double seconds = std::strtod(text, &end);
  GRADSPIKE_REQUIRE(*end == '\0', "GRADSPIKE_BACKEND_TIMEOUT must be a number of seconds, got \"", text, "\"");
  return seconds;
}

}  // namespace

void attach_process(const std::string& name, const std::vector<std::string>& command, double timeout) {
  require_name(name);
  register_backend(name, std::make_shared<ProcessBackend>(name, command, timeout));
}

void attach_library(const std::string& name, const std::string& library) {
  require_name(name);
  register_backend(name, open_library(name, library));
}

std::shared_ptr<const Backend> backend_of_text(const std::string& text) {
  if (begins_with(text, kProcess)) {
    const std::vector<std::string> words = split_words(text.substr(sizeof kProcess - 1));
    return std::make_shared<ProcessBackend>(text, words, timeout_from_environment());
  }
  return begins_with(text, kLibrary) ? open_library(text, text.substr(sizeof kLibrary - 1)) : nullptr;
}

std::string backend_of_target(const std::string& target) {
  const bool whole = begins_with(target, kProcess) || begins_with(target, kLibrary);
  return whole ? target : target.substr(0, target.find(' '));
}

}  // namespace gradspike::chip
