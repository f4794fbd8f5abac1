#include "trainer/plan/rehearsal.h"

#include <algorithm>
#include <string>

#include "trainer/freeze.h"
#include "trainer/plan/layer_memory.h"
#include "trainer/plan/trained_state.h"

namespace lathe {

namespace {

using Held = AllocatorBooks::Held;

// As models/adapters/attach.cpp chooses: by a module's own name, the end of its full one, or all.
bool adapts(const PlanSettings& settings, const std::string& parameter) {
  const std::string module = parameter.substr(0, parameter.rfind('.'));
  return std::ranges::any_of(settings.adapter_targets, [&](const std::string& target) {
    return target == "all-linear" || module == target || module.ends_with("." + target);
  });
}

std::vector<TrainedMatrix> matrices(const DecoderSpec& spec, const PlanSettings& settings) {
  std::vector<TrainedMatrix> result;
  for (const ParameterInfo& info : decoder_parameters(spec)) {
    const TrainedMatrix matrix{info.shape[0], info.shape.size() > 1 ? info.shape[1] : 1,
                               info.shape.size() > 1 && info.name.find("layers.") != std::string::npos};
    if (settings.adapter_rank == 0) {
      if (!is_frozen(info.name, settings.frozen)) result.push_back(matrix);
    } else if (matrix.block && adapts(settings, info.name)) {
      result.push_back({settings.adapter_rank, matrix.columns, true});
      result.push_back({matrix.rows, settings.adapter_rank, true});
    }
  }
  return result;
}

class Rehearsal {
 public:
  Rehearsal(const DecoderSpec& spec, const PlanSettings& settings)
      : spec_(spec),
        settings_(settings),
        element_(settings.bf16 ? 2 : 4),
        books_(slack_of_training(settings.adapter_rank > 0)),
        state_(books_, matrices(spec, settings), settings),
        layers_(books_, spec_, settings_) {}

  AllocatorBooks::Totals run() {
    construct();
    ask();
    step();
    step();
    for (std::size_t batch = 2; batch < settings_.batch_tokens.size(); ++batch)
      step();                                             // batches of many sizes
    if (!settings_.saves_between) books_.release_free();  // trainer/train.cpp, finish()
    std::vector<Held> copy = state_.checkpoint_copy();
    if (settings_.saves_between) step();  // the copy is written while training goes on
    copy.clear();
    ask();
    return books_.at_peak();
  }

 private:
  // A decoder's parameters; the products of a group are made of parts that are dropped
  // (models/layers/linear.h).
  void build(std::int64_t element, bool from_base) {
    std::vector<Held> group;
    std::int64_t grouped = 0;
    const auto close_group = [&] {
      if (group.size() > 1)
        weights_.push_back(books_.take(grouped, Use::Weights));
      else
        weights_.insert(weights_.end(), group.begin(), group.end());
      group.clear();
      grouped = 0;
    };
    for (const ParameterInfo& info : decoder_parameters(spec_)) {
      std::int64_t bytes = element;
      for (const std::int64_t extent : info.shape) bytes *= extent;
      if (from_base && settings_.adapter_rank > 0 && info.shape.size() > 1) {
        freeze(info, bytes);
        continue;
      }
      if (from_base) read_from_base(bytes / element);
      const bool input = info.name.ends_with("q_proj.weight") || info.name.ends_with("k_proj.weight") ||
                         info.name.ends_with("v_proj.weight") || info.name.ends_with("gate_proj.weight") ||
                         info.name.ends_with("up_proj.weight");
      const bool first = info.name.ends_with("q_proj.weight") || info.name.ends_with("gate_proj.weight");
      if (!input || first) close_group();
      if (!input)
        weights_.push_back(books_.take(bytes, Use::Weights));
      else
        group.push_back(books_.take(bytes, Use::Weights)), grouped += bytes;
    }
    close_group();
    books_.set_outside(mapped_);
  }

  // A matrix of a frozen base (models/layers/linear.h, hold()): in 4 bits, or where its file is mapped unless
  // that is wider.
  void freeze(const ParameterInfo& info, std::int64_t bytes) {
    read_from_base(bytes / element_);
    if (settings_.nf4 && info.name.find("layers.") != std::string::npos)
      take_quantised(bytes / element_);
    else if (base_share(bytes / element_) > bytes + bytes / 8)
      weights_.push_back(books_.take(bytes, Use::Weights));
    else
      mapped_ += base_share(bytes / element_);
  }
  // Bytes of so many parameters in the base's files.
  std::int64_t base_share(std::int64_t count) const {
    return static_cast<std::int64_t>(static_cast<double>(settings_.base_bytes) * static_cast<double>(count) /
                                     static_cast<double>(parameter_count(spec_)));
  }

  // data/io/mapped_file.h, lend(): a tensor's pages of the base are there while it is copied.
  void read_from_base(std::int64_t count) { books_.set_outside(mapped_ + base_share(count)); }

  // models/ops/nf4.h
  void take_quantised(std::int64_t count) {
    const std::int64_t blocks = (count + 63) / 64;
    weights_.push_back(books_.take((count + 1) / 2, Use::Weights));
    weights_.push_back(books_.take(settings_.double_quantised ? blocks : 4 * blocks, Use::Weights));
    if (settings_.double_quantised) weights_.push_back(books_.take((blocks + 255) / 256 * 4, Use::Weights));
  }

  // trainer/session.cpp. The base of a tuning run is a mapped file.
  void construct() {
    build(settings_.adapter_rank > 0 ? element_ : 4, /*from_base=*/true);
    if (settings_.adapter_rank > 0)
      state_.take_adapters();
    else if (settings_.bf16)
      build(2, /*from_base=*/false);
    state_.take_masters();
    state_.take_moments();
  }

  void step() {
    const std::int64_t passes = state_.passes();
    std::vector<GradientBlock> gradients;
    std::vector<Held> sums;
    for (std::int64_t pass = 0; pass < std::min<std::int64_t>(passes, 3); ++pass) {
      layers_.pass(next_tokens(), gradients);
      if (settings_.adapter_rank > 0) state_.append_gradients(gradients);
      if (passes > 1) state_.accumulate(gradients, sums);
    }
    if (settings_.muon) state_.orthogonalise();
  }

  void ask() {
    if (settings_.asked.prompt > 0) layers_.answer(settings_.asked);
  }

  std::int64_t next_tokens() {
    if (settings_.batch_tokens.empty()) return settings_.micro_batch_size * settings_.sequence_length;
    return settings_.batch_tokens[next_++ % settings_.batch_tokens.size()];
  }

  const DecoderSpec& spec_;
  const PlanSettings& settings_;
  std::int64_t element_;
  AllocatorBooks books_;  // before all that is held
  TrainedState state_;
  std::vector<Held> weights_;
  std::int64_t mapped_ = 0;  // bytes of the base's files that stay
  LayerMemory layers_;
  std::size_t next_ = 0;
};

}  // namespace

AllocatorBooks::Totals rehearse(const DecoderSpec& spec, const PlanSettings& settings) {
  return Rehearsal(spec, settings).run();
}

std::int64_t trained_parameters(const DecoderSpec& spec, const PlanSettings& settings) {
  return value_count(matrices(spec, settings));
}

}  // namespace lathe
