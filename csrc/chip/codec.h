// Base64 (RFC 4648, section 4) and packed bits. Decoding accepts one spelling only, so that a round trip is exact.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gradspike::chip {

std::string base64_encode(const std::string& bytes);
/// Throws an Error that begins with `where`.
std::string base64_decode(const std::string& text, const std::string& where);

/// Bit i is bit i % 8 of byte i / 8; unused bits are zero.
std::string pack_bits(const std::vector<bool>& bits);
std::vector<bool> unpack_bits(const std::string& bytes, std::int64_t count, const std::string& where);

}  // namespace gradspike::chip
