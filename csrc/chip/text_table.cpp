#include "csrc/chip/text_table.h"

#include <algorithm>

namespace gradspike::chip {
namespace {

/// Characters of UTF-8 text.
std::size_t length(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string printable(const std::string& text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  std::string result;
  for (std::size_t k = 0; k < text.size(); ++k) {
    const bool mark = byte(k) == 0xE2 && ((byte(k + 1) == 0x80 && byte(k + 2) >= 0xAA && byte(k + 2) <= 0xAE) ||
                                          (byte(k + 1) == 0x81 && byte(k + 2) >= 0xA6 && byte(k + 2) <= 0xA9));
    const bool control = byte(k) < 0x20 || byte(k) == 0x7F || (byte(k) == 0xC2 && byte(k + 1) < 0xA0);
    if (!mark && !control) {
      result += text[k];
      continue;
    }
    result += '?';
    k += mark ? 2 : (byte(k) == 0xC2 ? 1 : 0);
  }
  return result;
}

std::vector<std::string> aligned(const std::vector<TextRow>& rows, const std::vector<std::size_t>& right) {
  std::vector<std::size_t> widths;
  for (const TextRow& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t k = 0; k < row.size(); ++k) {
      widths[k] = std::max(widths[k], length(row[k]));
    }
  }
  std::vector<std::string> lines;
  for (const TextRow& row : rows) {
    std::string line;
    for (std::size_t k = 0; k < row.size(); ++k) {
      const std::string pad(widths[k] - length(row[k]), ' ');
      const bool flush_right = std::find(right.begin(), right.end(), k) != right.end();
      line += "  " + (flush_right ? pad + row[k] : row[k] + pad);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(line);
  }
  return lines;
}

}  // namespace gradspike::chip
