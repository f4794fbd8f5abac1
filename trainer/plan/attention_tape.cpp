// Attention on the tape (layer_tape.h).
#include <algorithm>
#include <memory>
#include <utility>

#include "trainer/plan/layer_tape.h"

namespace lathe {

namespace {

// Several tensors that live and end together.
AllocatorBooks::Held together(std::vector<AllocatorBooks::Held> parts) {
  return std::make_shared<std::vector<AllocatorBooks::Held>>(std::move(parts));
}

}  // namespace

// models/ops/full_attention.cpp
LayerTape::Value LayerTape::join_heads(const Value& x, const Value& y, const std::string& norms) {
  const auto backward = [=, this, first = x.bytes, second = y.bytes] {
    Held dx = tape_.take(first), dy = tape_.take(second);
    for (const char* name : {"norm_q", "norm_k", "norm_added_q", "norm_added_k"})
      if (layers_.has(norms + name) && layers_.at(norms + name).trained) {
        const std::int64_t size = layers_.at(norms + name).weights();
        gradients.push_back({books_.take(size * element(), Use::Gradients), {size}});
      }
    return std::vector<Held>{std::move(dx), std::move(dy)};
  };
  return tape_.apply(x.bytes + y.bytes,
                     {.inputs = {x, y}, .saved = {x.storage, y.storage}, .backward = backward});
}

// Copies of the two sides, since neither is dense in the whole.
std::pair<LayerTape::Value, LayerTape::Value> LayerTape::split(const Value& x, std::int64_t first_bytes) {
  const std::int64_t bytes = x.bytes;
  const auto backward = [this, bytes] {
    const Held unused = tape_.gradient(0) && tape_.gradient(1) ? Held() : tape_.take(bytes / 2);  // zeros
    return std::vector<Held>{tape_.take(bytes)};
  };
  const Value whole =
      tape_.apply(bytes, {.inputs = {x}, .saved = {}, .backward = backward, .output = x.storage});
  const auto part = [&](std::size_t output, std::int64_t size) {
    return copy({whole.storage, size, whole.made_by, output});
  };
  Value first = part(0, first_bytes);
  return {std::move(first), part(1, bytes - first_bytes)};
}

// Where a kernel of our own runs, views of one array; else each in a tensor of its own.
std::vector<LayerTape::Held> LayerTape::attention_gradients(std::size_t parts, const PlannedAttention& a) {
  const std::int64_t queries = a.pictures * a.queries * a.channels, keys = a.pictures * a.keys * a.channels;
  if (precision_.tiled) {
    const Held all = tape_.take(a.pictures * std::max(a.queries, a.keys) * 3 * a.channels * 2);
    return std::vector<Held>(parts, all);
  }
  const auto three = [&](std::int64_t element) {
    return std::vector<Held>{tape_.take(queries * element), tape_.take(keys * element),
                             tape_.take(keys * element)};
  };
  std::vector<Held> found;
  {
    const Held outgoing = precision_.bf16 ? tape_.take(queries * 4) : Held();
    const std::vector<Held> wide = three(4);
    found = precision_.bf16 ? three(2) : wide;
  }
  if (parts == 1) return {together(std::move(found))};
  if (parts == 2) return {found[0], together({found[1], found[2]})};
  return found;
}

LayerTape::Value LayerTape::attention(const std::vector<Value>& parts, const PlannedAttention& a) {
  const std::int64_t values = a.pictures * a.queries * a.channels, keys = a.pictures * a.keys * a.channels;
  const auto backward = [this, a, count = parts.size()] { return attention_gradients(count, a); };
  std::vector<Held> saved;
  if (precision_.bf16 && !precision_.tiled)
    saved = {tape_.take(values * 4), tape_.take(keys * 4), tape_.take(keys * 4), tape_.take(values * 4)};
  else
    for (const Value& part : parts) saved.push_back(part.storage);
  const Held out = tape_.take(values * element());
  saved.push_back(tape_.take(a.pictures * a.queries * a.heads * 4));
  saved.push_back(out);
  return tape_.apply(values * element(),
                     {.inputs = parts, .saved = std::move(saved), .backward = backward, .output = out});
}

LayerTape::Value LayerTape::document_attention(const Value& qkv, const PlannedAttention& a) {
  const std::int64_t values = a.pictures * a.queries * a.channels;
  const auto backward = [this, values] {
    const std::int64_t element = precision_.tiled ? 2 : 4;
    const auto one = [&] { return tape_.take(values * element); };
    const Held three = together({one(), one(), one()});
    if (!precision_.tiled) const Held views = together({one(), one(), one()});
    return std::vector<Held>{three};
  };
  std::vector<Held> saved{qkv.storage};
  if (!precision_.tiled) saved = {tape_.take(values * 4), tape_.take(values * 4), tape_.take(values * 4)};
  Held out = tape_.take(values * (precision_.tiled ? 2 : 4));
  saved.push_back(tape_.take(a.pictures * a.queries * a.heads * 4));
  saved.push_back(out);
  if (precision_.bf16 && !precision_.tiled) out = tape_.take(values * 2);
  return tape_.apply(values * element(),
                     {.inputs = {qkv}, .saved = std::move(saved), .backward = backward, .output = out});
}

}  // namespace lathe
