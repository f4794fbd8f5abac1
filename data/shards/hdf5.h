#pragma once
// A thin RAII cover over the HDF5 1.10 C API: handles that close themselves, failures as Errors. For the .cpp
// files of this folder only. HDF5 is one global lock anyway; hdf5_mutex() also covers builds of it that are
// not thread-safe and is held across the fork of data/shards/probe, so that a child never inherits HDF5 in
// the middle of a call.
#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

#include "recipes/schema/error.h"

namespace lathe {

std::mutex& hdf5_mutex();

// Starts the library: no error printing on the calling thread (its error stack is per thread), no plug-ins.
void start_hdf5();

class H5Handle {
 public:
  using Close = herr_t (*)(hid_t);
  H5Handle() = default;
  // Throws "<what>" with HDF5's innermost message when id is negative.
  H5Handle(hid_t id, Close closer, const std::string& what);
  ~H5Handle() { reset(); }
  H5Handle(H5Handle&& other) noexcept { swap(other); }
  H5Handle& operator=(H5Handle&& other) noexcept {
    swap(other);
    return *this;
  }
  operator hid_t() const { return id_; }
  void close(const std::string& what);  // throws when closing fails: for files just written

 private:
  void reset() noexcept {
    if (id_ >= 0) close_(id_);
    id_ = -1;
  }
  void swap(H5Handle& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
  }
  hid_t id_ = -1;
  Close close_ = nullptr;
};

// Throws "<what>: <HDF5's innermost message>" when status is negative.
void check_hdf5(herr_t status, const std::string& what);

}  // namespace lathe
