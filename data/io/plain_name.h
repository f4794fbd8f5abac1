#pragma once
// Names that other files give to files: never a path, so that nothing outside the folder is reached.
#include <string>

namespace lathe {

// Not empty, not "." or "..", at most 255 bytes, no separators and no control characters.
bool is_plain_file_name(const std::string& name);
// The same, or one plain folder and a plain name in it: "transformer/config.json".
bool is_plain_path(const std::string& name);

}  // namespace lathe
