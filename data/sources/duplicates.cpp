#include "data/sources/duplicates.h"

#include <charconv>

#include "data/io/hash.h"
#include "recipes/schema/error.h"

namespace lathe {

bool DuplicateFilter::add(std::string_view text) { return add_sha256(sha256_hex(text)); }

bool DuplicateFilter::add_sha256(std::string_view hex) {
  require(hex.size() == 64, "wanted the 64 digits of a SHA-256, found '", hex, "'");
  Key key{};
  for (std::size_t i = 0; i < key.size(); ++i) {
    const char* first = hex.data() + 16 * i;
    const auto [end, error] = std::from_chars(first, first + 16, key[i], 16);
    require(error == std::errc{} && end == first + 16, "wanted hexadecimal digits, found '", hex, "'");
  }
  const bool is_new = seen_.insert(key).second;
  duplicates_ += !is_new;
  return is_new;
}

}  // namespace lathe
