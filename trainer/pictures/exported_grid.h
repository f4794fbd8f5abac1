#pragma once
// The last grid of samples of a report: drawn from an exported folder that is read back, by the prompts and
// from the noise of the grids before, and compared with what the weights in memory drew. Its own scheduler,
// tokenizer and networks draw it, so a mistake in any file shows.
#include <string>

#include "data/io/json.h"
#include "trainer/task.h"

namespace lathe {

class PictureTask;

// Whether lathe draws from a folder of that format (kohya's and ComfyUI's name no base).
bool draws_from_export(const std::string& format);

// Writes <run>/samples/exported.png; {file, from, step, compared, and then passed, largest_difference,
// mean_difference, tolerance}, in levels of 255. `step` is the exported one; not compared where an earlier
// process drew it. Error where the same weights in the same precision draw something else; of weights that
// were rounded, or merged, only a note for much more than rounding.
Json draw_exported_grid(Session& session, PictureTask& task, const Json& target, std::int64_t step,
                        const Say& say);

// Of grids (B, C, H, W), -1 .. 1: exact: no point is a level off; else the mean stays below 8.
Json compare_grids(const at::Tensor& found, const at::Tensor& wanted, bool exact);

}  // namespace lathe
