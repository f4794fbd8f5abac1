#include "data/pipeline/prefetch.h"

#include <algorithm>

namespace lathe {

Prefetcher::Prefetcher(Make make, std::int64_t depth)
    : make_(std::move(make)), depth_(static_cast<std::size_t>(std::max<std::int64_t>(0, depth))) {
  if (depth_ > 0) thread_ = std::thread([this] { work(); });
}

Prefetcher::~Prefetcher() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Prefetcher::forget() {
  const std::lock_guard lock(mutex_);
  slots_.clear();
}

// The slot of this request, taken out together with those expected before it; null when it was not foreseen or when
// the thread has not begun it, which is then quicker done here.
std::shared_ptr<Prefetcher::Slot> Prefetcher::claim(std::uint64_t first, std::int64_t count) {
  const auto found = std::find_if(slots_.begin(), slots_.end(),
                                  [&](const auto& slot) { return slot->first == first && slot->count == count; });
  if (found == slots_.end()) {
    slots_.clear();
    return nullptr;
  }
  std::shared_ptr<Slot> slot = *found;
  slots_.erase(slots_.begin(), found + 1);
  return slot->stage == Stage::Waiting ? nullptr : slot;
}

void Prefetcher::plan(std::uint64_t first, std::int64_t count, std::int64_t stride) {
  if (stride == 0) return;
  std::deque<std::shared_ptr<Slot>> wanted;
  for (std::size_t i = 1; i <= depth_; ++i) {
    const std::uint64_t next = first + static_cast<std::uint64_t>(stride) * i;  // wraps for a negative stride
    if ((stride > 0) != (next > first)) break;                                  // ran off the end of the numbers
    const auto known = std::find_if(slots_.begin(), slots_.end(),
                                    [&](const auto& slot) { return slot->first == next && slot->count == count; });
    if (known != slots_.end()) {
      wanted.push_back(*known);
    } else {
      wanted.push_back(std::make_shared<Slot>());
      wanted.back()->first = next;
      wanted.back()->count = count;
    }
  }
  slots_ = std::move(wanted);
}

Batch Prefetcher::get(std::uint64_t first, std::int64_t count, std::int64_t stride) {
  if (depth_ == 0) return make_(first, count);
  std::unique_lock lock(mutex_);
  const std::shared_ptr<Slot> slot = claim(first, count);
  plan(first, count, stride);
  changed_.notify_all();
  if (!slot) {
    lock.unlock();
    return make_(first, count);
  }
  changed_.wait(lock, [&] { return slot->stage == Stage::Done; });
  if (slot->error) std::rethrow_exception(slot->error);
  return std::move(slot->batch);
}

void Prefetcher::work() {
  std::unique_lock lock(mutex_);
  const auto next = [&]() -> std::shared_ptr<Slot> {
    for (const auto& slot : slots_) {
      if (slot->stage == Stage::Waiting) return slot;
    }
    return nullptr;
  };
  for (;;) {
    std::shared_ptr<Slot> slot;
    changed_.wait(lock, [&] { return stop_ || (slot = next()) != nullptr; });
    if (stop_) return;
    slot->stage = Stage::Making;
    lock.unlock();
    Batch batch;
    std::exception_ptr error;
    try {
      batch = make_(slot->first, slot->count);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    slot->batch = std::move(batch);
    slot->error = error;
    slot->stage = Stage::Done;
    changed_.notify_all();
  }
}

}  // namespace lathe
