#pragma once
// A recipe that asks for several runs: `data.validation: {folds: k}` holds out every example once,
// `train.seeds: n` shows what chance does. Each is a run of its own under <run>/parts, resumed as any run;
// the run itself is then trained on all examples as far along the schedule as the folds were best (median),
// or is that of the first seed where there are no folds. Torch-free; one thread calls.
#include <cstdint>
#include <string>
#include <vector>

#include "recipes/schema/load.h"
#include "trainer/evaluate/held_answers.h"

namespace lathe {

struct Part {
  std::int64_t fold = 0, seed = 0;  // fold 0: there are none
  std::string name;                 // "fold 2 of 5, seed 18"
  std::string base_answers;  // base.json of a part with the same held-out examples, trained before; or empty
  LoadedRecipe loaded;       // its directory is under that of the whole
};

bool has_parts(const Recipe& recipe);
// The runs beside the recipe's own, in order: the folds of the first seed, then those of the next.
std::vector<Part> parts_of(const LoadedRecipe& loaded);
// Whether a run came to its end, by itself or by its limits.
bool is_ended(const std::string& run);

struct PartResult {
  std::int64_t fold = 0, seed = 0;
  std::int64_t best_step = 0, total_steps = 1;
  HeldAnswers held;
  Json report;  // its report.json
};
// Error when a part has no held-out answers.
std::vector<PartResult> read_parts(const std::vector<Part>& parts);

// How far along its schedule the median part was best, 0 < share <= 1.
double best_share(const std::vector<PartResult>& results);

// The held-out answers of each seed, folds one after another.
std::vector<HeldAnswers> pooled(const std::vector<PartResult>& results);

// {runs: [{fold, seed, examples, best_step, total_steps, metrics}], metrics: {name: {mean, sd, min, max}}}:
// of the tuned models' scores over the runs; sd is that of a sample (n - 1).
Json spread_of(const std::vector<PartResult>& results, const std::vector<std::string>& metrics);

// Held-out examples that ask something, asked or not, each counted once.
std::int64_t held_out_prompts(const std::vector<PartResult>& results);

// The longest of the parts' verbatim overlaps with their training answers.
Json longest_memorised(const std::vector<PartResult>& results);

}  // namespace lathe
