// Tables of text for a terminal.
#pragma once

#include <string>
#include <vector>

namespace gradspike::chip {

using TextRow = std::vector<std::string>;

/// A name without the characters that a terminal would obey: control characters and marks of the writing direction.
std::string printable(const std::string& text);

/// Rows as lines of columns two blanks apart, each two blanks in; those in `right` are set flush right. A character of
/// UTF-8 counts as one.
std::vector<std::string> aligned(const std::vector<TextRow>& rows, const std::vector<std::size_t>& right = {});

}  // namespace gradspike::chip
