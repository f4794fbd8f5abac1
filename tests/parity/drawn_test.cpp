// Models that tests/peers/check_families.py draws: any family, dtype, number of files, rows of packed and
// padded documents. Set LATHE_DRAWN to the folder of them; the case runs only when it is named. Each row's
// documents were run alone by transformers.
#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "models/objectives/causal_lm.h"
#include "tests/catch.h"
#include "tests/parity/golden.h"

using namespace lathe;

namespace {

constexpr double kAllowed = 1e-4;

// documents (B, T): a number for each document, -1 padding. Targets stay inside documents.
Batch batch_of(const golden::Golden& drawn) {
  const at::Tensor ids = drawn.tensor("input_ids"), documents = drawn.tensor("documents");
  Batch batch;
  batch.rows = ids.size(0);
  batch.length = ids.size(1);
  for (std::int64_t row = 0; row < batch.rows; ++row)
    for (std::int64_t i = 0; i < batch.length; ++i) {
      const auto document = documents[row][i].item<std::int64_t>();
      const auto slot = static_cast<std::int32_t>(row * batch.length + i);
      const bool first = document >= 0 && (i == 0 || documents[row][i - 1].item<std::int64_t>() != document);
      if (first) batch.stretches.push_back({slot, 0, static_cast<std::uint64_t>(document), 0});
      const bool follows =
          document >= 0 && i + 1 < batch.length && documents[row][i + 1].item<std::int64_t>() == document;
      batch.tokens.push_back(ids[row][i].item<std::int32_t>());
      batch.targets.push_back(follows ? ids[row][i + 1].item<std::int32_t>() : kIgnoreTarget);
      batch.positions.push_back(document < 0 ? 0 : slot - batch.stretches.back().begin);
      if (document >= 0) ++batch.stretches.back().length, ++batch.token_count;
      batch.target_count += follows;
    }
  return batch;
}

void check_drawn(const std::string& folder) {
  INFO(folder);
  golden::Golden drawn;
  drawn.folder = folder;
  drawn.bundle = read_bundle(folder);
  for (BundleTensor& t : read_safetensors(folder + "/golden.safetensors").tensors) drawn.file[t.name] = t;
  const auto decoder = build_decoder(drawn.bundle, at::kFloat);
  const Batch batch = batch_of(drawn);
  const at::Tensor used = drawn.tensor("documents").ge(0).unsqueeze(2),
                   wanted = drawn.tensor("logits") * used;
  const double logits = golden::error_of(golden::logits_of(*decoder, batch) * used, wanted);
  CHECK(logits < kAllowed);
  const ObjectiveValue loss = causal_lm_loss(*decoder, batch, {});
  CHECK(loss.sum.item<double>() == Approx(drawn.tensor("loss").item<double>()).epsilon(kAllowed));
  loss.sum.backward();
  const auto gradients = drawn.internal("gradient");
  const auto parameters = decoder->named_parameters();
  REQUIRE(gradients.size() == parameters.size());
  double largest = 0,
         worst = 0;  // gradients of tiny sums differ by rounding: against the largest of the model
  for (const auto& [name, gradient] : gradients)
    largest = std::max(largest, gradient.abs().max().item<double>());
  for (const auto& item : parameters) {
    INFO(item.name);
    const double own = gradients.at(item.name).abs().max().item<double>();
    const at::Tensor difference = (item.tensor.grad() - gradients.at(item.name)).abs();
    const double error = difference.max().item<double>() / std::max(own, 1e-2 * largest);
    CHECK(error < kAllowed);
    worst = std::max(worst, error);
  }
  WARN("drawn " << std::filesystem::path(folder).filename().string() << ": logits " << logits
                << ", gradients " << worst);
}

}  // namespace

TEST_CASE("drawn models are transformers'", "[.][drawn]") {
  const char* folder = std::getenv("LATHE_DRAWN");
  REQUIRE(folder != nullptr);
  std::vector<std::string> models;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    models.push_back(entry.path().string());
  std::sort(models.begin(), models.end());
  REQUIRE_FALSE(models.empty());
  for (const std::string& model : models) check_drawn(model);
}
