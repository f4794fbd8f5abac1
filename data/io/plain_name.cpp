#include "data/io/plain_name.h"

#include <cstddef>

namespace lathe {

bool is_plain_file_name(const std::string& name) {
  if (name.empty() || name.size() > 255 || name == "." || name == "..") return false;
  for (const char c : name)
    if (c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  return true;
}

bool is_plain_path(const std::string& name) {
  const std::size_t slash = name.find('/');
  if (slash == std::string::npos) return is_plain_file_name(name);
  return is_plain_file_name(name.substr(0, slash)) && is_plain_file_name(name.substr(slash + 1));
}

}  // namespace lathe
