#pragma once
// The arrays of a shard's mapped file. Places may come from a process that a crafted file has taken over:
// nothing in them is believed.
#include <cstddef>
#include <cstdint>
#include <span>

#include "data/io/mapped_file.h"
#include "data/shards/layout.h"
#include "recipes/schema/error.h"

namespace lathe {

using Bytes = std::span<const std::byte>;

// What stands behind every error of a file that is not as it was written.
inline constexpr const char* kMadeAgain = "; the file is damaged; lathe prepare RECIPE makes it again";

// Errors: another width, bytes outside of the file, a start that is not a multiple of the width.
inline Bytes array_bytes(const MappedFile& file, const ArrayPlace& place, std::uint64_t width,
                         const char* name) {
  const std::uint64_t size = file.size();
  require(place.width == width && place.count <= size / width && place.bytes() <= size &&
              place.offset <= size - place.bytes() && place.offset % width == 0,
          file.path(), ": /", name, " lies outside of the file (cut short?)");
  return file.bytes().subspan(place.offset, place.bytes());
}

template <class T>
std::span<const T> array_of(Bytes bytes) {
  return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
}

// Blocks of kBlockBytes, the last one shorter.
inline std::uint64_t blocks_of(Bytes bytes) { return (bytes.size() + kBlockBytes - 1) / kBlockBytes; }

}  // namespace lathe
