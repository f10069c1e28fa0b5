#include "csrc/chip/codec.h"

#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int digit_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : (c == '/' ? 63 : -1);
}

}  // namespace

std::string base64_encode(const std::string& bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = (group << 8) | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      text += i + k <= bytes.size() ? kAlphabet[(group >> (18 - 6 * k)) & 63U] : '=';
    }
  }
  return text;
}

std::string base64_decode(const std::string& text, const std::string& where) {
  GRADSPIKE_REQUIRE(text.size() % 4 == 0, where, ": base64 text has ", text.size(), " characters, no multiple of 4");
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const std::size_t padding =
        !last ? 0 : (text[i + 2] == '=' && text[i + 3] == '=' ? 2 : (text[i + 3] == '=' ? 1 : 0));
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const int digit = k >= 4 - padding ? 0 : digit_of(text[i + k]);
      GRADSPIKE_REQUIRE(digit >= 0, where, ": character ", i + k, " is no base64 digit");
      group = (group << 6) | static_cast<std::uint32_t>(digit);
    }
    GRADSPIKE_REQUIRE((group & ((1U << (8 * padding)) - 1U)) == 0, where, ": base64 text ends in stray bits");
    for (std::size_t k = 0; k < 3 - padding; ++k) {
      bytes += static_cast<char>((group >> (16 - 8 * k)) & 0xFFU);
    }
  }
  return bytes;
}

std::string pack_bits(const std::vector<bool>& bits) {
  std::string bytes((bits.size() + 7) / 8, '\0');
  for (std::size_t i = 0; i < bits.size(); ++i) {
    if (bits[i]) {
      bytes[i / 8] = static_cast<char>(static_cast<unsigned char>(bytes[i / 8]) | (1U << (i % 8)));
    }
  }
  return bytes;
}

std::vector<bool> unpack_bits(const std::string& bytes, std::int64_t count, const std::string& where) {
  const auto expected = static_cast<std::uint64_t>(count) / 8 + (count % 8 != 0 ? 1 : 0);
  GRADSPIKE_REQUIRE(bytes.size() == expected, where, ": needs ", expected, " bytes for ", count, " bits, got ",
                    bytes.size());
  std::vector<bool> bits(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < bytes.size() * 8; ++i) {
    const auto byte = static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i / 8]));
    const bool bit = ((byte >> (i % 8)) & 1U) != 0;
    GRADSPIKE_REQUIRE(i < bits.size() || !bit, where, ": has bits beyond its ", count);
    if (i < bits.size()) {
      bits[i] = bit;
    }
  }
  return bits;
}

}  // namespace gradspike::chip
