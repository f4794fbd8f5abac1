// Waiting for rank 0 without a collective's time limit: it counts a key of the store up while it lives.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "trainer/parallel/ranks_state.h"

namespace lathe {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kFirstLook{2}, kSlowestLook{500};

const std::vector<std::uint8_t> kDone = {'d'}, kFailed = {'f'},
                                kRefused = {'r'};  // refused: the user's mistake

// Counts the key up from a thread of its own until it is destroyed.
class Heartbeat {
 public:
  Heartbeat(c10::intrusive_ptr<c10d::Store> store, std::string key, milliseconds interval)
      : store_(std::move(store)), key_(std::move(key)), interval_(interval), thread_([this] { beat(); }) {}
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;
  ~Heartbeat() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

 private:
  void beat() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, interval_, [this] { return over_; })) {
      lock.unlock();
      try {
        store_->add(key_, 1);
      } catch (const std::exception&) {
        return;  // the next collective says that the store is gone
      }
      lock.lock();
    }
  }

  c10::intrusive_ptr<c10d::Store> store_;
  std::string key_;
  milliseconds interval_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;  // last: it uses the others
};

// What the thread that asks the store has heard. It may never come back from a question to a machine that is
// gone, so it is left alone then and holds what it uses.
struct Heard {
  c10::intrusive_ptr<c10d::Store> store;
  std::string done, beats;
  std::mutex mutex;
  std::condition_variable changed;
  std::int64_t count = -1;
  Clock::time_point last = Clock::now();
  bool over = false;
  std::vector<std::uint8_t> outcome;
  std::string error;

  void look(std::int64_t beat, std::vector<std::uint8_t> found) {
    const std::lock_guard lock(mutex);
    if (beat != count) last = Clock::now();
    count = beat;
    over = over || !found.empty();
    outcome = std::move(found);
    changed.notify_one();
  }
  bool is_over() {
    const std::lock_guard lock(mutex);
    return over;
  }
};

void ask(const std::shared_ptr<Heard>& heard, milliseconds slowest) {
  milliseconds pause = kFirstLook;
  try {
    while (!heard->is_over()) {
      const bool there = heard->store->check({heard->done});
      const auto found = there ? heard->store->get(heard->done) : std::vector<std::uint8_t>();
      heard->look(there ? 0 : heard->store->add(heard->beats, 0), found);
      if (there) return;
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, slowest);
    }
  } catch (const std::exception& e) {
    const std::lock_guard lock(heard->mutex);
    heard->error = e.what();
    heard->over = true;
    heard->changed.notify_one();
  }
}

// How rank 0's work ended. Throws when the store cannot be reached, or when rank 0 stops counting for longer
// than `silence`.
std::vector<std::uint8_t> hear_from_leader(const c10::intrusive_ptr<c10d::Store>& store,
                                           const std::string& done, const std::string& beats,
                                           milliseconds silence) {
  const auto heard = std::make_shared<Heard>();
  heard->store = store;
  heard->done = done;
  heard->beats = beats;
  std::thread([heard, slowest = std::min(kSlowestLook, silence / 4)] { ask(heard, slowest); }).detach();
  std::unique_lock lock(heard->mutex);
  while (!heard->over) {
    if (heard->changed.wait_until(lock, heard->last + silence) != std::cv_status::timeout) continue;
    if (heard->over || Clock::now() < heard->last + silence) continue;
    heard->over = true;
    throw std::runtime_error("no sign of life from rank 0");
  }
  if (!heard->error.empty()) throw std::runtime_error(heard->error);
  return heard->outcome;
}

}  // namespace

void Ranks::leader_alone(const char* what, const std::function<void()>& work) {
  if (!state_->backend) return work();
  const std::string key = cat("alone/", state_->times_alone++, "/"), done = key + "done",
                    beats = key + "beats";
  const milliseconds silence = std::chrono::seconds(info().timeout_seconds);
  if (leader()) {
    try {
      const Heartbeat heartbeat(state_->store, beats,
                                std::clamp(silence / 8, milliseconds(100), milliseconds(5000)));
      work();
    } catch (const std::exception& e) {
      const auto* error = dynamic_cast<const Error*>(&e);
      try {
        state_->store->set(done, error && error->code() == ExitCode::Usage ? kRefused : kFailed);
      } catch (const std::exception&) {  // the work's own error is the one to tell
      }
      throw;
    }
    state_->guarded(what, [&] { state_->store->set(done, kDone); });
  } else {
    const QuietLog quiet;
    const auto outcome =
        state_->guarded(what, [&] { return hear_from_leader(state_->store, done, beats, silence); });
    const std::string text = cat("rank ", info().rank, " of ", info().world_size, ": rank 0 failed at ", what,
                                 "; see its message");
    if (outcome == kRefused)
      fail_usage(text);  // whichever rank ends first, the program ends with rank 0's code
    if (outcome != kDone) fail(text);
  }
  barrier();  // rank 0 may hold the store, and must not end before all have read it
}

}  // namespace lathe
