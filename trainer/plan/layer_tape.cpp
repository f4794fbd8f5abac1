#include "trainer/plan/layer_tape.h"

#include <algorithm>
#include <utility>

#include "trainer/plan/weight_gradient.h"

namespace lathe {

void LayerTape::train_bias(const PlannedLayer& layer) {
  if (layer.bias && layer.bias_trained)
    gradients.push_back({books_.take(layer.out * element(), Use::Gradients), {layer.out}});
}

void LayerTape::train_product(const PlannedLayer& layer, std::int64_t rows) {
  if (layer.trained) {
    const WeightGradient of{rows, layer.out, layer.in, precision_.bf16, precision_.tiled};
    gradients.push_back({take_weight_gradient(books_, of), {layer.weights()}});
  }
  train_bias(layer);
}

// models/adapters/adapter.cpp: y + (x A^T) B^T, then the bias.
LayerTape::Value LayerTape::adapted(const Value& x, const Value& y, const PlannedLayer& layer) {
  const std::int64_t rows = y.bytes / (layer.out * element()), low = rows * layer.rank * element();
  const bool wanted = x.made_by >= 0;
  const std::int64_t down = layer.rank * layer.in, up = layer.out * layer.rank;
  const auto backward = [=, this, bytes = x.bytes] {
    const Held narrow = tape_.take(low);
    Held dx = wanted ? tape_.take(bytes) : Held();
    gradients.push_back({books_.take(down * element(), Use::Gradients), {down}});
    gradients.push_back({books_.take(up * element(), Use::Gradients), {up}});
    return std::vector<Held>{std::move(dx), tape_.gradient()};
  };
  const Value sum = tape_.apply(
      y.bytes,
      {.inputs = {x, y}, .saved = {x.storage, tape_.take(low)}, .backward = backward, .trains = true});
  return layer.bias ? copy(sum) : sum;
}

// models/layers/linear.cpp
LayerTape::Value LayerTape::linear(const Value& x, const std::string& module) {
  const PlannedLayer& layer = layers_.at(module);
  if (layer.rank > 0) {
    const std::int64_t out = x.bytes / layer.in * layer.out;
    const auto backward = [this, bytes = x.bytes] { return std::vector<Held>{tape_.take(bytes)}; };
    return adapted(x, tape_.apply(out, {.inputs = {x}, .saved = {x.storage}, .backward = backward}), layer);
  }
  const std::int64_t rows = x.bytes / (layer.in * element());
  const bool wanted = x.made_by >= 0;
  return tape_.apply(rows * layer.out * element(), {.inputs = {x},
                                                    .saved = {x.storage},
                                                    .backward =
                                                        [=, this, &layer, bytes = x.bytes] {
                                                          Held dx = wanted ? tape_.take(bytes) : Held();
                                                          train_product(layer, rows);
                                                          return std::vector<Held>{std::move(dx)};
                                                        },
                                                    .trains = layer.trained || layer.bias_trained});
}

LayerTape::Value LayerTape::group(const Value& x, const std::vector<std::string>& modules, bool apart) {
  PlannedLayer whole = layers_.at(modules.front());
  std::vector<std::int64_t> parts, biases;
  whole.out = 0;
  whole.trained = whole.bias_trained = false;
  for (const std::string& module : modules) {
    const PlannedLayer& layer = layers_.at(module);
    whole.out += layer.out;
    if (layer.trained) parts.push_back(layer.weights());
    if (layer.bias && layer.bias_trained) biases.push_back(layer.out);
  }
  const std::int64_t rows = x.bytes / (whole.in * element());
  // Rows of a power of two are kept a cache line apart (models/layers/weight_gradient.cpp).
  const std::int64_t row = whole.out * element(), spaced = row % 1024 == 0 ? row + 64 : row;
  const bool wanted = x.made_by >= 0, trains = !parts.empty() || !biases.empty();
  const auto backward = [=, this, bytes = x.bytes] {
    const Held joint = apart ? tape_.take(rows * row) : Held();
    Held dx = wanted ? tape_.take(bytes) : Held();
    if (!parts.empty()) {
      const WeightGradient of{rows, whole.out, whole.in, precision_.bf16, precision_.tiled};
      gradients.push_back({take_weight_gradient(books_, of), parts});
    }
    if (!biases.empty()) gradients.push_back({books_.take(row, Use::Gradients), biases});
    return std::vector<Held>{std::move(dx)};
  };
  return tape_.apply(rows * row, {.inputs = {x},
                                  .saved = {x.storage},
                                  .backward = backward,
                                  .trains = trains,
                                  .output = tape_.take(rows * spaced)});
}

std::vector<LayerTape::Value> LayerTape::projections(const Value& x,
                                                     const std::vector<std::string>& modules) {
  const auto has_adapter = [&](const std::string& module) { return layers_.at(module).rank > 0; };
  const Value all = group(x, modules, attention_apart());
  if (std::ranges::none_of(modules, has_adapter)) return {all};
  std::vector<Value> parts;
  std::size_t output = 0;
  for (const std::string& module : modules) {
    const PlannedLayer& layer = layers_.at(module);
    const std::int64_t bytes = x.bytes / layer.in * layer.out;
    const Value base{all.storage, bytes, all.made_by, output++};
    parts.push_back(layer.rank > 0 ? adapted(x, base, layer) : base);
  }
  return parts;
}

// models/layers/convolution.cpp, channels last
LayerTape::Value LayerTape::convolution(const Value& x, const std::string& module, std::int64_t stride) {
  const PlannedLayer& layer = layers_.at(module);
  const std::int64_t places = x.bytes / (layer.in * element()) / (stride * stride);
  const bool wanted = x.made_by >= 0;
  const auto backward = [=, this, &layer, bytes = x.bytes] {
    Held dx = wanted ? tape_.take(bytes) : Held();
    if (layer.trained)
      gradients.push_back({books_.take(layer.weights() * element(), Use::Gradients), {layer.weights()}});
    train_bias(layer);
    return std::vector<Held>{std::move(dx)};
  };
  return tape_.apply(places * layer.out * element(), {.inputs = {x},
                                                      .saved = {x.storage},
                                                      .backward = backward,
                                                      .trains = layer.trained || layer.bias_trained});
}

// models/layers/embedding.cpp
LayerTape::Value LayerTape::table(std::int64_t rows, const std::string& module) {
  const PlannedLayer& layer = layers_.at(module);
  const auto backward = [=, this, &layer] {
    if (layer.trained)
      gradients.push_back({books_.take(layer.weights() * element(), Use::Gradients), {layer.weights()}});
    return std::vector<Held>();
  };
  return tape_.apply(rows * layer.in * element(),
                     {.inputs = {}, .saved = {}, .backward = backward, .trains = layer.trained});
}

// models/diffusion/patches.cpp and the product with them, by LibTorch's own functions
LayerTape::Value LayerTape::patches(std::int64_t tokens, const std::string& module) {
  const PlannedLayer& layer = layers_.at(module);
  const Value cut = input(tokens * layer.in * layer.side * layer.side);
  const auto backward = [=, this, &layer] {
    if (layer.trained)
      gradients.push_back({books_.take(layer.weights() * element(), Use::Gradients), {layer.weights()}});
    train_bias(layer);
    return std::vector<Held>();
  };
  const Value rows =
      tape_.apply(tokens * layer.out * element(), {.inputs = {},
                                                   .saved = {cut.storage},
                                                   .backward = backward,
                                                   .trains = layer.trained || layer.bias_trained});
  return copy(rows);  // positions
}

// models/ops/group_norm.cpp, LibTorch's layer_norm
LayerTape::Value LayerTape::norm(const Value& x, const std::string& module) {
  const PlannedLayer& layer = layers_.at(module);
  const bool trains = layer.trained || layer.bias_trained;
  const auto backward = [=, this, &layer, bytes = x.bytes] {
    Held dx = tape_.take(bytes);
    if (layer.trained) gradients.push_back({books_.take(layer.out * element(), Use::Gradients), {layer.out}});
    train_bias(layer);
    return std::vector<Held>{std::move(dx)};
  };
  return tape_.apply(x.bytes, {.inputs = {x}, .saved = {x.storage}, .backward = backward, .trains = trains});
}

LayerTape::Value LayerTape::pointwise(const Value& x) {
  const auto backward = [this, bytes = x.bytes] { return std::vector<Held>{tape_.take(bytes)}; };
  return tape_.apply(x.bytes, {.inputs = {x}, .saved = {x.storage}, .backward = backward});
}

LayerTape::Value LayerTape::copy(const Value& x) {
  const auto backward = [this] { return std::vector<Held>{tape_.gradient()}; };
  return tape_.apply(x.bytes, {.inputs = {x}, .saved = {}, .backward = backward});
}

LayerTape::Value LayerTape::add(const Value& x, const Value& y) {
  const auto backward = [this] { return std::vector<Held>{tape_.gradient(), tape_.gradient()}; };
  return tape_.apply(x.bytes, {.inputs = {x, y}, .saved = {}, .backward = backward});
}

// models/diffusion/cross_transformer.cpp: one half times GELU of the other.
LayerTape::Value LayerTape::gated_gelu(const Value& wide) {
  const std::int64_t half = wide.bytes / 2;
  const auto backward = [this, half] {
    const Held first = tape_.take(half), second = tape_.take(half), through = tape_.take(half);
    return std::vector<Held>{tape_.take(2 * half)};
  };
  const Held gelu = tape_.take(half);
  return tape_.apply(half, {.inputs = {wide}, .saved = {wide.storage, gelu}, .backward = backward});
}

// Gradients are views of the whole's.
LayerTape::Value LayerTape::joined(const Value& x, const Value& y) {
  const auto backward = [this] { return std::vector<Held>{tape_.gradient(), tape_.gradient()}; };
  return tape_.apply(x.bytes + y.bytes, {.inputs = {x, y}, .saved = {}, .backward = backward});
}

LayerTape::Value LayerTape::resized(const Value& x, std::int64_t values) {
  const auto backward = [this, bytes = x.bytes] { return std::vector<Held>{tape_.take(bytes)}; };
  return tape_.apply(values * element(), {.inputs = {x}, .saved = {}, .backward = backward});
}

LayerTape::Value LayerTape::doubled_sides(const Value& x) {
  const auto backward = [this, bytes = x.bytes] { return std::vector<Held>{tape_.take(bytes)}; };
  return tape_.apply(4 * x.bytes, {.inputs = {x}, .saved = {}, .backward = backward});
}

LayerTape::Value LayerTape::modulated(Value& rows, Value branch, const Value& by) {
  const std::int64_t bytes = rows.bytes;
  const bool gated = branch.storage != nullptr;
  const Held total = gated ? tape_.take(bytes) : rows.storage;
  const auto backward = [this, bytes, gated, row = by.bytes] {
    const Held zeros = tape_.gradient(0) ? Held() : tape_.take(bytes);
    Held dx = tape_.take(bytes), dbranch = gated ? tape_.take(bytes) : Held();
    return std::vector<Held>{std::move(dx), std::move(dbranch), tape_.take(row)};
  };
  const Value y = tape_.apply(
      bytes,
      {.inputs = {rows, branch, by}, .saved = {total, branch.storage, by.storage}, .backward = backward});
  if (gated) rows = {total, bytes, y.made_by, 1};
  return y;
}

void LayerTape::learn(Value output) {
  const std::int64_t wide = output.bytes / element() * 4;
  const auto same = [this] { return std::vector<Held>{tape_.gradient()}; };
  const auto fresh = [this](std::int64_t bytes) {
    return [this, bytes] { return std::vector<Held>{tape_.take(bytes)}; };
  };
  const std::int64_t bytes = output.bytes;
  Value x = std::move(output);
  if (precision_.bf16) x = tape_.apply(wide, {.inputs = {x}, .saved = {}, .backward = fresh(bytes)});
  x = tape_.apply(wide, {.inputs = {x}, .saved = {}, .backward = same});                  // less the target
  x = tape_.apply(wide, {.inputs = {x}, .saved = {x.storage}, .backward = fresh(wide)});  // squared
  x = tape_.apply(wide, {.inputs = {x}, .saved = {}, .backward = fresh(wide)});           // weighted
  x = tape_.apply(4, {.inputs = {x}, .saved = {}, .backward = fresh(wide)});              // summed
  const int made_by = x.made_by;
  x = {};
  tape_.backward({{}, 4, made_by});
}

}  // namespace lathe
