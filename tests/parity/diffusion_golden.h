#pragma once
// One folder of tests/parity/diffusion (scripts/make_diffusion_goldens.py), or one drawn by
// tests/peers/check_unets.py and its kin: a tiny network of diffusers or transformers and what it computes.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/io/json.h"
#include "tests/catch.h"
#include "tests/parity/golden.h"
#include "tests/places.h"

namespace lathe {

struct DiffusionGolden {
  // A name in tests/parity/diffusion, or an absolute path.
  explicit DiffusionGolden(const std::string& name)
      : folder(
            (std::filesystem::path(cat(test::source_folder(), "/tests/parity/diffusion")) / name).string()) {
    config = read_json(folder + "/config.json");
    for (BundleTensor& t : read_safetensors(folder + "/golden.safetensors").tensors) file[t.name] = t;
  }
  at::Tensor tensor(const std::string& name) const { return to_tensor(file.at(name)).clone(); }

  // Copies the weights in; every name and shape must be there on both sides.
  void load(Module& model, const std::vector<ParameterInfo>& parameters) const {
    const at::NoGradGuard no_grad;
    auto named = model.named_parameters();
    std::size_t weights = 0;
    for (const auto& entry : file) weights += entry.first.rfind("weight.", 0) == 0;
    CHECK(named.size() == weights);
    CHECK(parameters.size() == weights);
    for (const ParameterInfo& info : parameters) {
      INFO(info.name);
      REQUIRE(named.contains(info.name));
      CHECK(named[info.name].sizes().vec() == info.shape);
      named[info.name].copy_(tensor("weight." + info.name));
    }
  }

  void check_gradients(Module& model, const std::map<std::string, at::Tensor>& outputs,
                       double tolerance = golden::kTolerance) const {
    at::Tensor sum = at::zeros({}, at::kFloat);
    for (const auto& [name, value] : outputs) {
      INFO(name);
      CHECK(golden::error_of(value, tensor("output." + name)) < tolerance);
      sum = sum + (value * tensor("probe." + name)).sum();
    }
    sum.backward();
    for (const auto& item : model.named_parameters()) {
      INFO(item.name);
      const bool wanted = file.contains("gradient." + item.name);
      if (!wanted) {
        CHECK((!item.tensor.grad().defined() || item.tensor.grad().abs().max().item<double>() == 0));
        continue;
      }
      REQUIRE(item.tensor.grad().defined());
      CHECK(golden::error_of(item.tensor.grad(), tensor("gradient." + item.name)) <
            std::max(tolerance, golden::kGradientTolerance));
    }
  }

  std::string folder;
  Json config;
  std::map<std::string, BundleTensor> file;
};

// Goldens that tests/peers drew into the folder named by an environment variable, each with a line of its own
// on the screen.
template <class Check>
void for_each_drawn(const char* variable, const Check& check) {
  const char* folder = std::getenv(variable);
  REQUIRE(folder != nullptr);  // such cases run only when they are named
  std::vector<std::filesystem::path> models;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) models.push_back(entry.path());
  std::sort(models.begin(), models.end());
  REQUIRE_FALSE(models.empty());
  for (const auto& model : models) {
    INFO(model.string());
    check(DiffusionGolden(model.string()));
    WARN("drawn " << model.filename().string());
  }
}

}  // namespace lathe
