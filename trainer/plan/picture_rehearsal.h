#pragma once
// Goes through a run of pictures as trainer/session.cpp, trainer/train.cpp and trainer/pictures/ do, taking
// from the allocator's books what each tensor would take (network_memory.h). Nothing is computed.
#include "trainer/plan/layer_list.h"
#include "trainer/plan/picture_memory.h"

namespace lathe {

AllocatorBooks::Totals rehearse_pictures(const PictureModel& model, const LayerList& layers,
                                         const PicturePlanSettings& settings);

}  // namespace lathe
