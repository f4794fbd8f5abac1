#include "data/sources/split.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <string_view>
#include <unordered_map>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

struct Group {
  std::string_view smallest;
  std::uint64_t bytes = 0;
  std::vector<std::size_t> members;
};

// Groups, with those that share a document's exact bytes joined.
std::vector<Group> collect(const std::vector<DocumentKey>& documents) {
  std::vector<std::size_t> parent(documents.size());
  std::iota(parent.begin(), parent.end(), std::size_t{0});
  const auto root = [&](std::size_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  };
  std::unordered_map<std::uint32_t, std::size_t> by_group;
  std::unordered_map<std::string_view, std::size_t> by_content;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const std::size_t a = by_group.try_emplace(documents[i].group, i).first->second;
    const std::size_t b = by_content.try_emplace(documents[i].sha256, i).first->second;
    parent[root(i)] = root(a);
    parent[root(i)] = root(b);
  }
  std::unordered_map<std::size_t, std::size_t> places;
  std::vector<Group> groups;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const std::size_t place = places.try_emplace(root(i), groups.size()).first->second;
    if (place == groups.size()) groups.push_back({documents[i].sha256, 0, {}});
    Group& group = groups[place];
    group.smallest = std::min(group.smallest, std::string_view(documents[i].sha256));
    group.bytes += documents[i].bytes;
    group.members.push_back(i);
  }
  std::sort(groups.begin(), groups.end(),
            [](const Group& a, const Group& b) { return a.smallest < b.smallest; });
  return groups;
}

double total_bytes(const std::vector<DocumentKey>& documents) {
  double total = 0;
  for (const auto& document : documents) total += static_cast<double>(document.bytes);
  return total;
}

struct Taken {
  std::vector<const Group*> groups;
  double bytes = 0;
};

// Whole groups in the order given until `wanted` bytes are reached.
Taken take_whole(const std::vector<Group>& groups, double wanted) {
  Taken taken;
  for (const Group& group : groups) {
    if (taken.bytes >= wanted) break;
    if (group.members.size() > 1 && static_cast<double>(group.bytes) > wanted) continue;
    taken.groups.push_back(&group);
    taken.bytes += static_cast<double>(group.bytes);
  }
  return taken;
}

// The place in [first, last] nearest to `wanted` at which a part may begin; 0 when there is none.
template <class MayBegin>
std::size_t nearest(std::size_t first, std::size_t last, std::size_t wanted, const MayBegin& may_begin) {
  for (std::size_t away = 0; away <= last - first; ++away) {
    if (wanted + away <= last && may_begin(wanted + away)) return wanted + away;
    if (wanted >= first + away && may_begin(wanted - away)) return wanted - away;
  }
  return 0;
}

}  // namespace

std::vector<bool> validation_split(const std::vector<DocumentKey>& documents, double share) {
  if (!(share > 0 && share < 1)) fail_usage("data.validation: wanted a share between 0 and 1, found ", share);
  const auto groups = collect(documents);
  const Taken taken = take_whole(groups, share * total_bytes(documents));
  std::vector<bool> held(documents.size(), false);
  for (const Group* group : taken.groups) {
    for (const std::size_t member : group->members) held[member] = true;
  }
  if (taken.groups.empty() || taken.groups.size() == groups.size()) {
    fail("data.validation: ", share, " of ", documents.size(),
         documents.size() == 1 ? " document" : " documents", " (", groups.size(),
         " when near-duplicates count once) leaves nothing to ",
         taken.groups.empty() ? "hold out" : "train on",
         "; use more or smaller documents (one a line in a .jsonl file), or name a file of its own as "
         "data.validation");
  }
  return held;
}

std::vector<std::uint64_t> held_out_tails(const std::vector<DocumentKey>& documents, double share) {
  const auto groups = collect(documents);
  const double wanted = share * total_bytes(documents);
  const Taken taken = take_whole(groups, wanted);
  const bool one_side = taken.groups.empty() || taken.groups.size() == groups.size();
  if (!one_side && taken.bytes <= 2 * wanted) return {};

  std::vector<std::size_t> alone;
  for (const Group& group : groups) {
    if (group.members.size() == 1 && group.bytes >= 2) alone.push_back(group.members[0]);
  }
  const auto is_long = [&](std::size_t d) { return static_cast<double>(documents[d].bytes) > wanted; };
  if (std::any_of(alone.begin(), alone.end(), is_long)) std::erase_if(alone, std::not_fn(is_long));
  double available = 0;
  for (const std::size_t d : alone) available += static_cast<double>(documents[d].bytes);
  if (available <= wanted) return {};
  std::vector<std::uint64_t> tails(documents.size(), 0);
  for (const std::size_t d : alone) {
    const double tail = static_cast<double>(documents[d].bytes) * wanted / available;
    tails[d] = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(tail), 1, documents[d].bytes - 1);
  }
  return tails;
}

std::size_t tail_begin(std::string_view text, std::uint64_t wanted) {
  const std::size_t target = text.size() - static_cast<std::size_t>(wanted);
  const std::size_t slack = std::min(target, text.size() - target) / 4;
  const std::size_t first = target - slack, last = target + slack;
  const auto after = [&](std::size_t at, char c) { return at > 0 && at < text.size() && text[at - 1] == c; };
  const auto after_blank_line = [&](std::size_t at) {
    if (!after(at, '\n') || text[at] == '\n' || text[at] == '\r') return false;
    return after(at - 1, '\n') || (after(at - 1, '\r') && after(at - 2, '\n'));
  };
  if (const std::size_t at = nearest(first, last, target, after_blank_line)) return at;
  if (const std::size_t at = nearest(first, last, target, [&](std::size_t i) { return after(i, '\n'); }))
    return at;
  if (const std::size_t at = nearest(first, last, target, [&](std::size_t i) { return after(i, ' '); }))
    return at;
  const auto between_characters = [&](std::size_t at) {
    return at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80U;
  };
  return nearest(1, text.size() - 1, target, between_characters);
}

}  // namespace lathe
