// Names of targets, and nearest names for error messages.
#pragma once

#include <string>
#include <vector>

namespace gradspike::chip {

/// Whether a target is a device that runs the operators of a model, "cpu", "cuda" or "cuda:1", and no backend.
bool is_device(const std::string& target);

/// At most `count` of `candidates`, by edit distance to `name`, ties in order of the alphabet.
std::vector<std::string> nearest_names(const std::string& name, std::vector<std::string> candidates,
                                       std::size_t count = 3);
/// "; nearest: \"a\", \"b\"", or "; there are none" where there is no candidate.
std::string nearest_text(const std::string& name, const std::vector<std::string>& candidates);

}  // namespace gradspike::chip
