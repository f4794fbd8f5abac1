#pragma once
// What tuning on a few pictures did beside the loss: how many samples are copies of a training picture, and
// how far the tuned model drifted from its base on prompts of the old world. Leader only, at the end of a
// run.
#include <vector>

#include "trainer/pictures/picture_task.h"

namespace lathe {

// {pictures, copies, rate, nearest, real}: samples of the training captions against the training pictures.
// `nearest` is the median distance (root mean square over pixels of -1 .. 1) of a sample to its nearest
// training picture, `real` that of held-out pictures, or without any of each training picture to the nearest
// other one (`numbers`: N, which picture each is a crop or mirror image of); a copy is nearer than half of
// `real`.
Json copy_report(const at::Tensor& samples, const at::Tensor& training,
                 const std::vector<std::int64_t>& numbers, const at::Tensor& held_out);

// Null where report_samples() is 0, and for fewer than two pictures of one size. Else {verdict, copies,
// prior_drift}, which is also written to report.json. prior_drift, where the recipe has prior.prompts: root
// mean square of the difference between the tuned and the frozen network's predictions on fixed noise and
// times, as a share of that of the frozen one's.
Json make_picture_report(Session& session, PictureTask& task, const Say& say);

}  // namespace lathe
