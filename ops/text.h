// Texts of other libraries as one sentence.
#pragma once

#include <string>

namespace gradspike::ops {

inline std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace gradspike::ops
