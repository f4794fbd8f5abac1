#pragma once
// One thread that makes batches ahead of their reader. A request it guessed wrong is thrown away, a batch
// nobody guessed is made on the caller's thread: the answer to get(first, count) is always make(first,
// count).
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "data/pipeline/batch.h"

namespace lathe {

class Prefetcher {
 public:
  using Make = std::function<Batch(std::uint64_t first, std::int64_t count)>;  // thread-safe
  // depth: batches kept ready beside the one just handed out; 0 starts no thread.
  Prefetcher(Make make, std::int64_t depth);
  ~Prefetcher();
  // make(first, count), and prepares what comes after it, as `after` says. An exception of make is rethrown
  // here.
  Batch get(RowRange rows, const RowsAfter& after);
  std::uint64_t unforeseen() const { return unforeseen_; }  // requests that nothing had announced

 private:
  enum class Stage { Waiting, Making, Done };
  struct Slot {
    RowRange rows;
    Stage stage = Stage::Waiting;
    Batch batch;
    std::exception_ptr error;
  };
  std::shared_ptr<Slot> find(RowRange rows) const;
  std::shared_ptr<Slot> claim(RowRange rows);
  void plan(RowRange rows, const RowsAfter& after);
  void work();

  Make make_;
  std::size_t depth_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Slot>> slots_;  // in the order they are expected
  std::uint64_t unforeseen_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace lathe
