#include "data/shards/hdf5.h"

namespace lathe {
namespace {

herr_t keep_innermost(unsigned, const H5E_error2_t* error, void* text) {
  if (error->desc != nullptr) *static_cast<std::string*>(text) = error->desc;
  return 0;
}

std::string innermost_message() {
  std::string text = "no reason given";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_innermost, &text);
  H5Eclear2(H5E_DEFAULT);
  return text;
}

}  // namespace

std::mutex& hdf5_mutex() {
  static std::mutex mutex;
  return mutex;
}

void start_hdf5() {
  if (H5open() < 0) fail("the HDF5 library did not start");
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  H5PLset_loading_state(0);
}

H5Handle::H5Handle(hid_t id, Close closer, const std::string& what) : id_(id), close_(closer) {
  if (id < 0) fail(what, ": ", innermost_message());
}

void H5Handle::close(const std::string& what) {
  const hid_t id = std::exchange(id_, -1);
  if (id >= 0) check_hdf5(close_(id), what);
}

void check_hdf5(herr_t status, const std::string& what) {
  if (status < 0) fail(what, ": ", innermost_message());
}

}  // namespace lathe
