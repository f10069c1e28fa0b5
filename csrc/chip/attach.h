// Backends outside of this library, by name or by the text that a user chooses them with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"
#include "csrc/chip/process_backend.h"

namespace gradspike::chip {

/// Adds a program as backend `name` (letters, digits, '_', '-', '.'); it is started at the first call. Throws
/// BackendError where there is no such program.
void attach_process(const std::string& name, const std::vector<std::string>& command,
                    double timeout = kDefaultBackendTimeout);
/// Adds the backend of a shared library: a path, or the NAME of libgradspike_backend_NAME.so on the loader's path.
/// Throws BackendError where there is none or it is for another version.
void attach_library(const std::string& name, const std::string& library);

/// The backend of "process:COMMAND" or "library:LIBRARY", null for any other text. A command is split like a shell's
/// words, without expansion; GRADSPIKE_BACKEND_TIMEOUT [s] replaces its default timeout.
std::shared_ptr<const Backend> backend_of_text(const std::string& text);

/// The part of a target that names the backend: all of "process:..." and "library:...", else the first word.
std::string backend_of_target(const std::string& target);

}  // namespace gradspike::chip
