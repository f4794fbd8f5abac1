#include "data/sources/split.h"

#include <algorithm>
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
  std::sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.smallest < b.smallest; });
  return groups;
}

}  // namespace

std::vector<bool> validation_split(const std::vector<DocumentKey>& documents, double share) {
  if (!(share > 0 && share < 1)) fail_usage("data.validation: wanted a share between 0 and 1, found ", share);
  const auto groups = collect(documents);
  double total = 0;
  for (const auto& document : documents) total += static_cast<double>(document.bytes);
  const double wanted = share * total;
  std::vector<bool> held(documents.size(), false);
  double taken = 0;
  std::size_t groups_taken = 0;
  for (const auto& group : groups) {
    if (taken >= wanted) break;
    if (group.members.size() > 1 && static_cast<double>(group.bytes) > wanted) continue;
    for (const std::size_t member : group.members) held[member] = true;
    taken += static_cast<double>(group.bytes);
    ++groups_taken;
  }
  if (groups_taken == 0 || groups_taken == groups.size()) {
    fail("data.validation: ", share, " of ", documents.size(), documents.size() == 1 ? " document" : " documents",
         " (", groups.size(), " when near-duplicates count once) leaves nothing to ",
         groups_taken == 0 ? "hold out" : "train on",
         "; use more or smaller documents (one a line in a .jsonl file), or name a file of its own as data.validation");
  }
  return held;
}

}  // namespace lathe
