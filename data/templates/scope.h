#pragma once
// What the parts of Interpreter do on entering and leaving: count the depth, push a frame of names.
#include <memory>
#include <utility>

#include "data/templates/interpreter.h"
#include "recipes/schema/error.h"

namespace lathe {

class Interpreter::Depth {
 public:
  explicit Depth(Interpreter& in) : in_(in) {
    if (++in_.depth_ > in_.setting_.limits.depth) fail("macros and expressions nested too deep");
  }
  ~Depth() { --in_.depth_; }
  Depth(const Depth&) = delete;

 private:
  Interpreter& in_;
};

// A fresh frame on top of `parent` while it lives.
class Interpreter::Scope {
 public:
  Scope(Interpreter& in, FramePtr parent) : in_(in), before_(in.frame_) {
    in_.frame_ = std::make_shared<Frame>();
    in_.frame_->parent = std::move(parent);
  }
  explicit Scope(Interpreter& in) : Scope(in, in.frame_) {}
  ~Scope() { in_.frame_ = before_; }
  Scope(const Scope&) = delete;

 private:
  Interpreter& in_;
  FramePtr before_;
};

}  // namespace lathe
