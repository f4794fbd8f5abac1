#pragma once
// What frozen networks make of the pictures and captions of a run, made once and kept in the data cache
// (data/shards/encodings.h): of each variant of a picture the moments of the VAE's posterior, of each caption
// what the text encoder says. A run draws latents from those moments as it would without the cache, so what
// is learned is the same bit for bit.
#include <string>

#include "data/images/prepare_pictures.h"
#include "recipes/schema/recipe.h"
#include "trainer/pictures/cached_encodings.h"

namespace lathe {

// Whether training leaves the text encoder of the recipe's model as it is.
bool text_is_frozen(const Recipe& recipe, const PictureModel& plan);

// Of a base; nothing for a model from scratch, or where data.cache_encodings is false. `plan` has the base's
// tensors, `precision` is the run's. In the number of threads that is set. Phases say how much there is to
// make before it is made; what throws from `progress` stops between two pictures, and the next call goes on.
PictureEncodings prepare_picture_encodings(const Recipe& recipe, const PictureModel& plan,
                                           const PreparedPictures& data, const std::string& precision,
                                           const PrepareProgress& progress = {});

}  // namespace lathe
