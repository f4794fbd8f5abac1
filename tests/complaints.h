#pragma once
// What code under test says when it refuses.
#include <exception>
#include <string>
#include <string_view>

namespace lathe {

// The text of the lathe::Error (or other exception) that `body` throws; empty when it throws none.
template <class Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const std::exception& e) {
    return e.what();
  }
  return {};
}

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace lathe
