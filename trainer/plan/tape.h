#pragma once
// What autograd keeps, on the allocator's books: every operation takes its output and what its backward
// needs, and backward goes through the operations from the last to the first, gives back what each kept and
// takes the gradients of what went in. As LibTorch's engine does it: a gradient that nobody else holds is
// added to in place, another one is added to in a new tensor. Not thread-safe; the books must outlive the
// tape.
#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "trainer/plan/books.h"

namespace lathe {

class Tape {
 public:
  using Held = AllocatorBooks::Held;
  // A tensor: its memory, its size, the operation that made it (-1: nothing that is trained) and which of its
  // outputs it is.
  struct Value {
    Held storage;
    std::int64_t bytes = 0;
    int made_by = -1;
    std::size_t output = 0;
  };
  // From the gradient of an operation's output those of its inputs, in their order; an empty one for an input
  // that has none.
  using Backward = std::function<std::vector<Held>()>;

  // Without `recording` nothing is kept, as under at::NoGradGuard.
  Tape(AllocatorBooks& books, bool recording) : books_(books), recording_(recording) {}

  bool recording() const { return recording_; }
  Held take(std::int64_t bytes, Use use = Use::Activations) { return books_.take(bytes, use); }
  Value leaf(std::int64_t bytes) { return {take(bytes), bytes}; }

  struct Operation {
    std::vector<Value> inputs;
    std::vector<Held> saved;
    Backward backward;
    bool trains = false;  // weights of its own: it has a backward whatever its inputs are
    Held output{};        // where the output lies already (a view, or taken before `saved`)
  };
  // Its first output; another one of the same operation is a Value of the same made_by.
  Value apply(std::int64_t bytes, Operation operation);
  // What has reached the outputs of the operation whose backward is running.
  const Held& gradient(std::size_t output = 0) const { return arrived_[output]; }

  // From the value's gradient on; the tape is empty then.
  void backward(const Value& loss);

 private:
  using Gradients = std::array<Held, 3>;  // of the outputs
  struct Node {
    std::vector<Value> inputs;  // without their memory
    std::vector<Held> saved;
    Backward backward;
    Gradients gradients;
  };
  AllocatorBooks& books_;
  bool recording_;
  std::vector<Node> nodes_;
  Gradients arrived_;
};

}  // namespace lathe
