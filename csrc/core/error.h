// Errors of the Torch-free layers.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace gradspike {

/// Thrown for everything that a user or a caller can have caused; `what()` is one readable sentence.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

template <class... Parts>
std::string concatenate(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace detail
}  // namespace gradspike

/// A user's mistake: the message is a sentence that names argument, requirement and value.
#define GRADSPIKE_REQUIRE(condition, ...)                                      \
  do {                                                                         \
    if (!(condition)) {                                                        \
      throw ::gradspike::Error(::gradspike::detail::concatenate(__VA_ARGS__)); \
    }                                                                          \
  } while (false)

/// A broken invariant of this library: the message names place and expression.
#define GRADSPIKE_CHECK(condition, ...)                                                                        \
  do {                                                                                                         \
    if (!(condition)) {                                                                                        \
      throw ::gradspike::Error(::gradspike::detail::concatenate(__FILE__, ":", __LINE__, ": internal check `", \
                                                                #condition, "` failed: ", __VA_ARGS__));       \
    }                                                                                                          \
  } while (false)

#define GRADSPIKE_FAIL(...) throw ::gradspike::Error(::gradspike::detail::concatenate(__VA_ARGS__))
