// What a diffusion recipe takes from its base, and what of it the base cannot do, told before any work.
#include "trainer/pictures/picture_base.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "models/adapters/attach.h"
#include "models/adapters/pictures.h"
#include "recipes/schema/load.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"
#include "tests/unit/checkpoints/tiny_pipeline.h"
#include "trainer/pictures/picture_plan.h"

namespace lathe {
namespace {

// Stable Diffusion 1 (epsilon), or 2 (velocity), in a folder.
struct Base {
  TemporaryFolder folder;
  explicit Base(bool second = false) {
    tiny::write_folder(folder.path(), pipeline_files(tiny::stable_diffusion(second)));
  }
  LoadedRecipe load(const std::string& more) const {
    LoadedRecipe loaded = load_recipe_text(
        "task: diffusion\nname: x\n" + more +
            (more.find("model:") == std::string::npos ? "model: {path: " + folder.path() + "}\n" : "") +
            (more.find("data:") == std::string::npos ? "data: {train: pictures, resolution: [32]}\n" : "") +
            "train: {max_steps: 2}\n",
        "x.yaml");
    check_picture_base(loaded);
    return loaded;
  }
  std::string problems(const std::string& more) const {
    std::string text;
    for (const RecipeProblem& problem : load(more).problems) text += problem.text + "\n";
    return text;
  }
};

TEST_CASE("a base brings its own noise process and text encoder") {
  const Base base;
  const LoadedRecipe loaded = base.load("");
  CHECK(loaded.problems.empty());
  CHECK(loaded.recipe.diffusion.prediction == "epsilon");
  CHECK(loaded.recipe.diffusion.schedule == "scaled_linear");
  CHECK(loaded.recipe.diffusion.timesteps == "uniform");
  CHECK(loaded.recipe.diffusion.text_encoder.hidden_size == 64);
  const std::string printed = print_recipe(loaded, true);
  CHECK(printed.find("prediction: epsilon") != std::string::npos);
  CHECK(printed.find("from the base") != std::string::npos);
  CHECK(base.problems("diffusion: {prediction: epsilon, schedule: scaled_linear}\n").empty());
}

TEST_CASE("a key that contradicts the base is refused") {
  const Base base;
  CHECK(base.problems("diffusion: {prediction: flow}\n")
            .find("'diffusion.prediction' is flow, and the base's "
                  "is epsilon") != std::string::npos);
  CHECK(base.problems("diffusion: {schedule: linear}\n").find("the base's is scaled_linear") !=
        std::string::npos);
  CHECK(base.problems("diffusion: {text_encoder: {hidden_size: 99}}\n").find("the base's is 64") !=
        std::string::npos);
  CHECK(base.problems("diffusion: {zero_terminal_snr: true}\n").find("does not go with epsilon") !=
        std::string::npos);
}

TEST_CASE("a recipe that freezes everything is told so before any work") {
  const Base base;
  const auto told = [&](const std::string& parts) {
    return base.problems("model: {path: " + base.folder.path() + ", freeze: [" + parts + "]}\n")
               .find("leaves nothing to train") != std::string::npos;
  };
  CHECK(told("unet"));
  CHECK_FALSE(told("down_blocks"));
}

TEST_CASE("a whole model may be tuned to another end of its schedule, an adapter may not") {
  const Base base(true);
  const std::string ends = "diffusion: {zero_terminal_snr: true}\n";
  const LoadedRecipe loaded = base.load(ends);
  CHECK(loaded.problems.empty());
  std::vector<RecipeProblem> problems;
  CHECK(plan_picture_model(loaded.recipe, problems).schedule.zero_terminal_snr);
  CHECK(base.problems(ends + "adapter: {kind: lora}\n").find("the base's is false") != std::string::npos);
}

TEST_CASE("what a base cannot do is told before any work") {
  const Base base;
  const auto told = [&](const std::string& more, const std::string& words) {
    const std::string text = base.problems(more);
    INFO(text);
    CHECK(text.find(words) != std::string::npos);
  };
  told("diffusion: {sampling: {sampler: flow_euler}}\n", "does not go with the schedule 'scaled_linear'");
  told("adapter: {kind: lora, targets: [nosuch]}\n", "'nosuch' is no linear layer of this model");
  told("adapter: {kind: lora, targets: [q_proj]}\n", "'q_proj' is no linear layer");
  told("data: {train: pictures, resolution: [30]}\n", "multiples of 8");
  told("data: {train: pictures, resolution: [32], channels: 1}\n", "'data.channels' is 1");
  told("model: {path: " + base.folder.path() + ", freeze: [nonsense]}\n", "no parameter has 'nonsense'");
  CHECK(base.problems("adapter: {kind: lora, targets: [q_proj], text_encoder: true}\n").empty());
  CHECK(base.problems("adapter: {kind: lora, targets: [all-linear, conv1]}\n").empty());
}

TEST_CASE("what a run trains is counted as it is attached") {
  const Base base;
  const auto planned = [&](const std::string& more) {
    const LoadedRecipe loaded = base.load(more);
    std::vector<RecipeProblem> problems;
    return std::pair(loaded.recipe, plan_picture_model(loaded.recipe, problems));
  };
  const auto [whole, model] = planned("");
  CHECK(trained_parameters(whole, model) == count_parameters(model).transformer);  // the text encoder stays
  const auto [recipe, same] =
      planned("adapter: {kind: lora, rank: 4, targets: [all-linear, conv1], text_encoder: true}\n");
  const TextToPicture built = build_picture_model(same, at::kFloat);
  TextToPicture adapted = built;
  std::vector<std::string> attached = attach_adapters(adapted, adapter_spec(recipe.adapter), true, 1),
                           told = adapted_modules(recipe, same);
  std::sort(attached.begin(), attached.end());
  std::sort(told.begin(), told.end());
  CHECK(attached == told);
  std::int64_t trained = 0;
  for (const auto& [prefix, module] : adapted.modules())
    for (const auto& parameter : module->parameters())
      if (parameter.requires_grad()) trained += parameter.numel();
  CHECK(trained_parameters(recipe, same) == trained);
}

}  // namespace
}  // namespace lathe
