#include "trainer/plan/rehearsal.h"

#include <algorithm>
#include <string>
#include <utility>

#include "trainer/freeze.h"
#include "trainer/plan/layer_memory.h"

namespace lathe {

namespace {

using Held = AllocatorBooks::Held;

struct Matrix {
  std::int64_t rows = 0, columns = 0;
  bool block = false;
};  // of one parameter; vectors have one column

std::int64_t size_of(const Matrix& matrix) { return matrix.rows * matrix.columns; }

// As models/adapters/attach.cpp chooses: by a module's own name, the end of its full one, or all.
bool adapts(const PlanSettings& settings, const std::string& parameter) {
  const std::string module = parameter.substr(0, parameter.rfind('.'));
  return std::ranges::any_of(settings.adapter_targets, [&](const std::string& target) {
    return target == "all-linear" || module == target || module.ends_with("." + target);
  });
}

std::vector<Matrix> matrices(const DecoderSpec& spec, const PlanSettings& settings) {
  std::vector<Matrix> result;
  for (const ParameterInfo& info : decoder_parameters(spec)) {
    const Matrix matrix{info.shape[0], info.shape.size() > 1 ? info.shape[1] : 1,
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
        trained_(matrices(spec, settings)),
        layers_(books_, spec_, settings_) {}

  AllocatorBooks::Totals run() {
    construct();
    ask();
    step();
    step();
    for (std::size_t batch = 2; batch < settings_.batch_tokens.size(); ++batch)
      step();                                             // batches of many sizes
    if (!settings_.saves_between) books_.release_free();  // trainer/train.cpp, finish()
    std::vector<Held> copy = checkpoint_copy();
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
    if (settings_.adapter_rank > 0) {
      for (const Matrix& matrix : trained_)
        weights_.push_back(books_.take(size_of(matrix) * element_, Use::Weights));
    } else if (settings_.bf16) {
      build(2, /*from_base=*/false);
    }
    std::vector<Held> masters;
    for (const Matrix& matrix : trained_) {
      if (settings_.bf16) masters.push_back(books_.take(size_of(matrix) * 4, Use::Weights));
    }
    if (settings_.adapter_rank > 0) weights_.insert(weights_.end(), masters.begin(), masters.end());
    masters.clear();  // else the fp32 values that were rounded take their place
    for (int copy = 0; copy < 2; ++copy) {
      for (const Matrix& matrix : trained_) {
        if (copy == 0 || !settings_.muon || !matrix.block)
          weights_.push_back(books_.take(size_of(matrix) * 4, Use::Optimizer));
      }
    }
    if (settings_.world_size > 1) {  // trainer/parallel/reducer.cpp
      for (const Matrix& matrix : trained_)
        weights_.push_back(books_.take(size_of(matrix) * 4, Use::Gradients));
    }
  }

  void step() {
    const std::int64_t share = settings_.global_batch_size / settings_.world_size;
    const std::int64_t passes = (share + settings_.micro_batch_size - 1) / settings_.micro_batch_size;
    std::vector<GradientBlock> gradients;
    std::vector<Held> sums;
    for (std::int64_t pass = 0; pass < std::min<std::int64_t>(passes, 3); ++pass) {
      layers_.pass(next_tokens(), gradients);
      if (settings_.adapter_rank > 0) take_adapter_gradients(gradients);
      if (passes > 1) accumulate(gradients, sums);
    }
    if (settings_.muon) orthogonalise();
  }

  void ask() {
    if (settings_.asked.prompt > 0) layers_.answer(settings_.asked);
  }

  std::int64_t next_tokens() {
    if (settings_.batch_tokens.empty()) return settings_.micro_batch_size * settings_.sequence_length;
    return settings_.batch_tokens[next_++ % settings_.batch_tokens.size()];
  }

  void take_adapter_gradients(std::vector<GradientBlock>& gradients) {
    for (const Matrix& matrix : trained_)
      gradients.push_back({books_.take(size_of(matrix) * element_, Use::Gradients), {size_of(matrix)}});
  }

  // trainer/optim/parameters.cpp: fp32 sums; the first gradient in fp32 is its own sum.
  void accumulate(std::vector<GradientBlock>& gradients, std::vector<Held>& sums) {
    const bool first = sums.empty();
    for (GradientBlock& block : gradients) {
      if (!first) continue;
      if (settings_.bf16) {
        for (const std::int64_t part : block.parts) sums.push_back(books_.take(part * 4, Use::Gradients));
      } else {
        sums.push_back(block.storage);
      }
      block.storage.reset();
    }
    gradients.clear();
  }

  // trainer/optim/muon.cpp: a matrix a thread, the largest first; a direction, its next value and two squares
  // each.
  void orthogonalise() {
    std::vector<Matrix> work;
    for (const Matrix& matrix : trained_)
      if (matrix.block) work.push_back(matrix);
    std::stable_sort(work.begin(), work.end(),
                     [](const Matrix& a, const Matrix& b) { return size_of(a) > size_of(b); });
    std::vector<std::vector<Held>> threads(static_cast<std::size_t>(settings_.threads));
    for (std::size_t i = 0; i < work.size(); ++i) {
      const std::int64_t side = std::min(work[i].rows, work[i].columns), square = side * side;
      const auto take = [&](std::int64_t count, std::int64_t element) {
        return books_.take(count * element, Use::Optimizer);
      };
      std::vector<Held>& mine = threads[i % threads.size()];
      mine.clear();
      mine = {take(size_of(work[i]), element_), take(size_of(work[i]), element_), take(square, element_),
              take(square, element_)};
      if (settings_.bf16 && work[i].rows > work[i].columns) mine.push_back(take(square, 4));
    }
  }

  // trainer/state.cpp
  std::vector<Held> checkpoint_copy() {
    std::vector<Held> copy;
    for (int part = 0; part < 3; ++part) {  // masters, and one or two moments
      for (const Matrix& matrix : trained_) {
        if (part < 2 || !settings_.muon || !matrix.block)
          copy.push_back(books_.take(size_of(matrix) * 4, Use::CheckpointCopy));
      }
    }
    return copy;
  }

  const DecoderSpec& spec_;
  const PlanSettings& settings_;
  std::int64_t element_;
  AllocatorBooks books_;  // before all that is held
  std::vector<Matrix> trained_;
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
  std::int64_t count = 0;
  for (const Matrix& matrix : matrices(spec, settings)) count += size_of(matrix);
  return count;
}

}  // namespace lathe
