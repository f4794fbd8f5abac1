#pragma once
// What the tuned model must not forget, told by its frozen base: pictures that the base draws of old prompts
// are given noise, and the tuned network's prediction must equal the base's. No class pictures are needed
// (prior preservation as in arXiv 2208.12242, section 3.2, with the base's prediction for the target as in
// distillation, arXiv 1503.02531). Pictures, noise and times are functions of the seed and the row, so
// nothing is stored and a resume is exact. One thread.
#include <cstdint>
#include <string>
#include <vector>

#include "models/diffusion/text_to_picture.h"
#include "models/objectives/denoising.h"
#include "recipes/schema/diffusion_sections.h"

namespace lathe {

// Noisy pictures of old prompts and what the base predicts for them.
struct PriorBatch {
  NoisyPictures asked;
  std::vector<std::string> captions;  // empty where the text is left out
  at::Tensor beside;                  // PictureCondition's
};

class FrozenPrior {
 public:
  // Draws the pictures, prompt after prompt, as `draw` says, and reads the prompts, once. Usage Error for a
  // file without prompts.
  FrozenPrior(TextToPicture base, const PriorSection& section, const DrawOptions& draw);
  // per_picture pictures for each of the rows [first, first + count): the same picture comes again after all
  // others, with other noise.
  PriorBatch rows(std::uint64_t first, std::int64_t count, const DenoisingOptions& options) const;
  double weight() const { return section_.weight; }
  std::size_t pictures() const { return prompts_.size(); }

 private:
  TextToPicture base_;
  PriorSection section_;
  std::vector<std::string> prompts_;
  at::Tensor pictures_;              // (P, c, H, W) fp32
  PictureCondition known_;           // of the distinct prompts, in order, and of nothing behind them
  std::vector<std::int64_t> which_;  // P: a prompt's row there
  std::int64_t nothing_ = 0;         // its row
};

}  // namespace lathe
