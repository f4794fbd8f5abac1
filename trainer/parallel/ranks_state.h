#pragma once
// What Ranks and GradientReducer share. Private to trainer/parallel.
#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <string>

#include "recipes/schema/error.h"
#include "trainer/parallel/ranks.h"

namespace lathe {

// c10d logs what fails in its store with its stack; our Errors say what matters.
class QuietLog {
 public:
  QuietLog() : before_(FLAGS_caffe2_log_level) {
    if (!std::getenv("TORCH_CPP_LOG_LEVEL")) FLAGS_caffe2_log_level = 3;
  }
  QuietLog(const QuietLog&) = delete;
  QuietLog& operator=(const QuietLog&) = delete;
  ~QuietLog() { FLAGS_caffe2_log_level = before_; }

 private:
  int before_;
};

// The first sentence of what c10d and Gloo throw, without the place in their sources: their advice is for
// those who build on them.
inline std::string plain_reason(std::string text) {
  text.resize(std::min(text.size(), text.find('\n')));
  if (const auto place = text.find("] "); text.starts_with("[") && place != std::string::npos)
    text.erase(0, place + 2);
  text.resize(std::min(text.size(), text.find(". ")));
  return text;
}

struct Ranks::State {
  RankInfo info;
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::Backend> backend;  // null for one rank
  int times_alone = 0;                        // of leader_alone(), the same on every rank

  // Runs a collective or waits for one; what c10d throws becomes an Error that says who lost whom.
  template <class Body>
  auto guarded(const char* what, Body&& body) -> decltype(body()) {
    try {
      return body();
    } catch (const std::exception& e) {
      fail("rank ", info.rank, " of ", info.world_size, ": ", what,
           " failed: another rank has ended or cannot be reached (", plain_reason(e.what()),
           "); start the run again to go on from its last checkpoint");
    }
  }

  void sum_in_place(const char* what, at::Tensor tensor, bool maximum = false);
};

}  // namespace lathe
