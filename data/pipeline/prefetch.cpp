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

std::shared_ptr<Prefetcher::Slot> Prefetcher::find(RowRange rows) const {
  const auto found = std::find_if(slots_.begin(), slots_.end(), [&](const auto& slot) {
    return slot->rows.first == rows.first && slot->rows.count == rows.count;
  });
  return found == slots_.end() ? nullptr : *found;
}

// The slot of this request, taken out together with those expected before it; null when it was not foreseen
// or when the thread has not begun it, which is then quicker done here.
std::shared_ptr<Prefetcher::Slot> Prefetcher::claim(RowRange rows) {
  const std::shared_ptr<Slot> slot = find(rows);
  if (!slot) {
    slots_.clear();
    unforeseen_ += 1;
    return nullptr;
  }
  slots_.erase(slots_.begin(), std::find(slots_.begin(), slots_.end(), slot) + 1);
  return slot->stage == Stage::Waiting ? nullptr : slot;
}

void Prefetcher::plan(RowRange rows, const RowsAfter& after) {
  if (!after) return;
  std::deque<std::shared_ptr<Slot>> wanted;
  for (std::size_t i = 0; i < depth_; ++i) {
    const std::optional<RowRange> next = after(rows);
    if (!next) break;
    rows = *next;
    wanted.push_back(find(rows));
    if (wanted.back()) continue;
    wanted.back() = std::make_shared<Slot>();
    wanted.back()->rows = rows;
  }
  slots_ = std::move(wanted);
}

Batch Prefetcher::get(RowRange rows, const RowsAfter& after) {
  if (depth_ == 0) return make_(rows.first, rows.count);
  std::unique_lock lock(mutex_);
  const std::shared_ptr<Slot> slot = claim(rows);
  plan(rows, after);
  changed_.notify_all();
  if (!slot) {
    lock.unlock();
    return make_(rows.first, rows.count);
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
      batch = make_(slot->rows.first, slot->rows.count);
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
