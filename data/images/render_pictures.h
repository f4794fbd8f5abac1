#pragma once
// The second pass: pictures in the size, channels and crops that a model reads, written to one shard.
#include <cstdint>
#include <span>

#include "data/images/survey_pictures.h"
#include "data/shards/picture_writer.h"

namespace lathe {

struct RenderItem {
  const PictureFile* file = nullptr;
  const PictureFacts* facts = nullptr;
  std::uint64_t number = 0;  // in its set
};

struct RenderOptions {
  std::uint64_t seed = 17;  // of generated pictures
  std::int64_t side = 64;
  double background = 1;  // behind alpha
  std::int64_t crops = 1;
  MaskKind masks = MaskKind::None;  // else every picture gets one, white where it has none of its own
  int threads = 0;
};

// In order; the bytes do not depend on the number of threads. Error when a file is not what the survey saw.
void render_pictures(PictureShardWriter& writer, const PictureSize& size, std::span<const RenderItem> items,
                     const RenderOptions& options);

}  // namespace lathe
