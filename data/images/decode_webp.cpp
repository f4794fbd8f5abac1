#include <webp/decode.h>
#include <webp/demux.h>

#include <algorithm>

#include "data/images/decoders.h"
#include "data/io/shell_word.h"
#include "recipes/schema/error.h"

namespace lathe {

bool is_webp(std::span<const std::byte> bytes) {
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  return bytes.size() >= 12 && std::string_view(text, 4) == "RIFF" && std::string_view(text + 8, 4) == "WEBP";
}

Picture decode_webp(std::span<const std::byte> bytes, const std::string& where, const PictureLimits& limits) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  require(WebPGetFeatures(data, bytes.size(), &features) == VP8_STATUS_OK, where,
          ": damaged WebP: its header cannot be read");
  if (features.has_animation)
    fail(where, ": an animated WebP; keep one frame: webpmux -get frame 1 ", shell_word(where),
         " -o out.webp");
  check_size(features.width, features.height, where, limits);
  Picture picture;
  picture.width = features.width;
  picture.height = features.height;
  picture.channels = features.has_alpha ? 4 : 3;
  const auto row_bytes = static_cast<std::size_t>(picture.width * picture.channels);
  std::vector<std::uint8_t> values(row_bytes * static_cast<std::size_t>(picture.height));
  const auto into = features.has_alpha ? WebPDecodeRGBAInto : WebPDecodeRGBInto;
  require(into(data, bytes.size(), values.data(), values.size(), static_cast<int>(row_bytes)), where,
          ": damaged WebP: its pixels cannot be read");
  picture.values.resize(values.size());
  std::transform(values.begin(), values.end(), picture.values.begin(),
                 [](std::uint8_t v) { return static_cast<std::uint16_t>(v * 257); });
  int orientation = 1;
  const WebPData whole{data, bytes.size()};
  if (WebPDemuxer* demuxer = WebPDemux(&whole)) {
    WebPChunkIterator chunk;
    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
      std::span<const std::byte> exif(reinterpret_cast<const std::byte*>(chunk.chunk.bytes),
                                      chunk.chunk.size);
      // Some writers keep JPEG's prefix.
      if (exif.size() > 6 &&
          std::equal(exif.begin(), exif.begin() + 4, reinterpret_cast<const std::byte*>("Exif")))
        exif = exif.subspan(6);
      orientation = exif_orientation(exif);
      WebPDemuxReleaseChunkIterator(&chunk);
    }
    WebPDemuxDelete(demuxer);
  }
  return upright(std::move(picture), orientation);
}

}  // namespace lathe
