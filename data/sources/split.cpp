#include "data/sources/split.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <string_view>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

struct Group {
  std::uint32_t member = 0;  // one of its documents: Groups::root of them all
  std::uint32_t count = 0;
  std::uint64_t bytes = 0;
};

struct Groups {
  std::vector<std::uint32_t> root;  // of each document: the member of its group
  std::vector<Group> groups;        // in the order of their smallest hashes
};

// Groups, with those that share a document's exact bytes joined. By sorting: a map takes five times the
// memory.
Groups collect(const std::vector<DocumentKey>& documents) {
  const auto count = static_cast<std::uint32_t>(documents.size());
  Groups all;
  std::vector<std::uint32_t>& parent = all.root;
  parent.resize(count);
  std::iota(parent.begin(), parent.end(), 0U);
  const auto root = [&](std::uint32_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  };
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0U);
  const auto join_equal = [&](const auto& key) {
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return key(a) < key(b); });
    for (std::uint32_t i = 1; i < count; ++i)
      if (key(order[i]) == key(order[i - 1])) parent[root(order[i])] = root(order[i - 1]);
  };
  join_equal([&](std::uint32_t d) { return documents[d].group; });
  join_equal([&](std::uint32_t d) -> const Sha256Digest& { return documents[d].sha256; });

  std::vector<std::uint32_t> place(
      count, count);  // of a root's group; documents come by their hashes: the first is smallest
  for (const std::uint32_t d : order) {
    const std::uint32_t member = root(d);
    if (place[member] == count) {
      place[member] = static_cast<std::uint32_t>(all.groups.size());
      all.groups.push_back({.member = member});
    }
    Group& group = all.groups[place[member]];
    group.count += 1;
    group.bytes += documents[d].bytes;
  }
  for (std::uint32_t d = 0; d < count; ++d) parent[d] = root(d);
  return all;
}

double total_bytes(const std::vector<DocumentKey>& documents) {
  double total = 0;
  for (const auto& document : documents) total += static_cast<double>(document.bytes);
  return total;
}

constexpr double kLeastTail = 64;  // bytes held out of a document that is cut, where it can be

struct Taken {
  std::vector<const Group*> groups;
  double bytes = 0;
};

// Whole groups in the order given until `wanted` bytes are reached.
Taken take_whole(const std::vector<Group>& groups, double wanted) {
  Taken taken;
  for (const Group& group : groups) {
    if (taken.bytes >= wanted) break;
    if (group.count > 1 && static_cast<double>(group.bytes) > wanted) continue;
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
  const auto [root, groups] = collect(documents);
  const Taken taken = take_whole(groups, share * total_bytes(documents));
  std::vector<bool> held(documents.size(), false);
  for (const Group* group : taken.groups) held[group->member] = true;
  for (std::size_t d = 0; d < documents.size(); ++d) held[d] = held[root[d]];
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
  const std::vector<Group> groups = collect(documents).groups;
  const double wanted = share * total_bytes(documents);
  const Taken taken = take_whole(groups, wanted);
  const bool one_side = taken.groups.empty() || taken.groups.size() == groups.size();
  if (!one_side && taken.bytes <= 2 * wanted) return {};

  std::vector<std::size_t> alone;
  for (const Group& group : groups) {
    if (group.count == 1 && group.bytes >= 2) alone.push_back(group.member);
  }
  const auto is_long = [&](std::size_t d) { return static_cast<double>(documents[d].bytes) > wanted; };
  if (std::any_of(alone.begin(), alone.end(), is_long)) std::erase_if(alone, std::not_fn(is_long));
  double available = 0;
  for (const std::size_t d : alone) available += static_cast<double>(documents[d].bytes);
  if (available <= wanted) return {};
  // Fewer documents, by their hashes, where the ends of all would be too short to say anything.
  while (alone.size() > 1 && wanted / static_cast<double>(alone.size()) < kLeastTail) {
    const auto bytes = static_cast<double>(documents[alone.back()].bytes);
    if (available - bytes <= 2 * wanted) break;
    available -= bytes;
    alone.pop_back();
  }
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
