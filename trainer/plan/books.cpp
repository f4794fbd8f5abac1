#include "trainer/plan/books.h"

#include <algorithm>
#include <numeric>

#include "trainer/allocator.h"

namespace lathe {

namespace {

// As in trainer/allocator.cpp: smaller blocks are glibc's.
constexpr std::int64_t kLarge = std::int64_t{64} << 10;

}  // namespace

std::int64_t AllocatorBooks::Totals::sum() const {
  return std::accumulate(mapped.begin(), mapped.end(), outside);
}

AllocatorBooks::Held AllocatorBooks::take(std::int64_t bytes, Use use, std::optional<std::int64_t> written) {
  const bool large = bytes >= kLarge;
  std::int64_t size = bytes, touched = written.value_or(bytes);
  if (large) {
    size = static_cast<std::int64_t>(allocation_class(static_cast<std::size_t>(bytes)));
    touched = written.value_or(size);
    if (const auto found = free_.take(static_cast<std::size_t>(size))) {
      size = static_cast<std::int64_t>(found->first);
      count(found->second.last, -found->second.written);
      touched = std::max(touched, found->second.written);
    } else {
      largest_in_use_ = std::max(largest_in_use_, in_use_ + size);
      keep_at_most(free_limit() - size);
    }
    in_use_ += size;
    largest_in_use_ = std::max(largest_in_use_, in_use_);
  }
  count(use, touched);
  note();
  return {this, [=, this](void*) { give(size, large, {use, touched}); }};
}

void AllocatorBooks::give(std::int64_t size, bool large, Kept kept) {
  if (!large) return count(kept.last, -kept.written);
  in_use_ -= size;
  free_.put(static_cast<std::size_t>(size), kept);
  keep_at_most(free_limit());
}

std::int64_t AllocatorBooks::free_limit() const {
  return static_cast<std::int64_t>(most_held(static_cast<std::size_t>(largest_in_use_), slack_)) - in_use_;
}

void AllocatorBooks::keep_at_most(std::int64_t bytes) {
  free_.shrink(static_cast<std::size_t>(bytes),
               [this](std::size_t, const Kept& kept) { count(kept.last, -kept.written); });
}

void AllocatorBooks::set_outside(std::int64_t bytes) {
  now_.outside = bytes;
  note();
}

void AllocatorBooks::note() {
  if (now_.sum() > peak_.sum()) peak_ = now_;
}

}  // namespace lathe
