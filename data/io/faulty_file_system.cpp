#include "data/io/faulty_file_system.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "recipes/schema/error.h"

namespace lathe {
namespace {
namespace stdfs = std::filesystem;

stdfs::path normal(const std::string& path) {
  stdfs::path p = stdfs::absolute(path).lexically_normal();
  return p.has_filename() ? p : p.parent_path();
}

}  // namespace

// A file or a folder, once as the program sees it and once as the disk holds it.
struct FaultyFileSystem::Node {
  bool is_folder = false;
  std::string live_bytes, durable_bytes;
  Entries live, durable;
};

class FaultyFileSystem::RecordedFile : public FileSystem::File {
 public:
  RecordedFile(FaultyFileSystem& fs, std::string path, std::shared_ptr<Node> node, std::unique_ptr<File> file)
      : fs_(fs), path_(std::move(path)), node_(std::move(node)), file_(std::move(file)) {}
  void write(std::span<const std::byte> bytes) override {
    const std::lock_guard lock(fs_.mutex_);
    const int error = fs_.next_error();
    const auto written = error ? bytes.first(bytes.size() / 2) : bytes;
    if (error != ECANCELED) {
      file_->write(written);
      node_->live_bytes.append(reinterpret_cast<const char*>(written.data()), written.size());
    }
    if (error) fail(path_, ": cannot write: ", std::strerror(error));
    fs_.record({Kind::Write, fs_.relative(path_), "", bytes.size()});
  }
  void sync() override {
    const std::lock_guard lock(fs_.mutex_);
    fs_.begin(path_, "sync");
    node_->durable_bytes = node_->live_bytes;
    fs_.record({Kind::Sync, fs_.relative(path_), "", 0});
  }
  void close() override {
    const std::lock_guard lock(fs_.mutex_);
    if (!file_) return;
    fs_.begin(path_, "close");
    file_->close();
    file_.reset();
    fs_.record({Kind::Close, fs_.relative(path_), "", 0});
  }

 private:
  FaultyFileSystem& fs_;
  std::string path_;
  std::shared_ptr<Node> node_;
  std::unique_ptr<File> file_;
};

FaultyFileSystem::FaultyFileSystem(const std::string& root) : root_(normal(root).string()) {
  require(stdfs::is_directory(root_), root_, ": wanted an existing folder");
  tree_ = scan(root_);
}

FaultyFileSystem::~FaultyFileSystem() = default;

std::shared_ptr<FaultyFileSystem::Node> FaultyFileSystem::scan(const std::string& path) {
  auto node = std::make_shared<Node>();
  if (stdfs::is_directory(path)) {
    node->is_folder = true;
    for (const auto& entry : stdfs::directory_iterator(path)) {
      node->live[entry.path().filename().string()] = scan(entry.path().string());
    }
    node->durable = node->live;
  } else {
    node->live_bytes = node->durable_bytes = read_file(path);
  }
  return node;
}

std::string FaultyFileSystem::relative(const std::string& path) const {
  const std::string inside = normal(path).lexically_relative(root_).string();
  require(!inside.empty() && inside.rfind("..", 0) != 0, path, ": outside of the test folder ", root_);
  return inside;
}

std::shared_ptr<FaultyFileSystem::Node> FaultyFileSystem::find(const std::string& path) const {
  std::shared_ptr<Node> node = tree_;
  const stdfs::path inside = relative(path);
  for (const auto& part : inside) {
    if (part == ".") continue;
    const auto child = node->live.find(part.string());
    if (child == node->live.end()) return nullptr;
    node = child->second;
  }
  return node;
}

FaultyFileSystem::Place FaultyFileSystem::place_of(const std::string& path) const {
  const stdfs::path p = normal(path);
  const auto folder = find(p.parent_path().string());
  if (!folder || !folder->is_folder) fail(path, ": ", std::strerror(ENOENT));
  return {folder.get(), p.filename().string()};
}

int FaultyFileSystem::next_error() {
  ++calls_;
  if (crash_ != 0 && calls_ > crash_) return ECANCELED;
  if (calls_ == crash_) return EIO;
  const auto failure = failures_.find(calls_);
  return failure == failures_.end() ? 0 : failure->second;
}

void FaultyFileSystem::begin(const std::string& path, const char* operation) {
  if (const int error = next_error()) fail(path, ": cannot ", operation, ": ", std::strerror(error));
}

void FaultyFileSystem::record(Operation operation) { operations_.push_back(std::move(operation)); }

std::unique_ptr<FileSystem::File> FaultyFileSystem::create(const std::string& path) {
  const std::lock_guard lock(mutex_);
  begin(path, "create");
  const Place place = place_of(path);
  auto file = real_file_system().create(path);
  auto& node = place.folder->live[place.name];
  if (!node) node = std::make_shared<Node>();
  node->live_bytes.clear();
  record({Kind::Create, relative(path), "", 0});
  return std::make_unique<RecordedFile>(*this, path, node, std::move(file));
}

void FaultyFileSystem::make_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  begin(path, "make the folder");
  real_file_system().make_directory(path);
  std::shared_ptr<Node> node = tree_;
  const stdfs::path inside = relative(path);
  for (const auto& part : inside) {
    if (part == ".") continue;
    auto& child = node->live[part.string()];
    if (!child) {
      child = std::make_shared<Node>();
      child->is_folder = true;
    }
    node = child;
  }
  record({Kind::MakeDirectory, relative(path), "", 0});
}

void FaultyFileSystem::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  begin(from, "rename");
  const Place old_place = place_of(from), new_place = place_of(to);
  real_file_system().rename(from, to);
  const auto node = old_place.folder->live.at(old_place.name);
  old_place.folder->live.erase(old_place.name);
  new_place.folder->live[new_place.name] = node;
  record({Kind::Rename, relative(from), relative(to), 0});
}

void FaultyFileSystem::sync_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  begin(path, "sync the folder");
  const auto node = find(path);
  if (!node || !node->is_folder) fail(path, ": cannot sync the folder: ", std::strerror(ENOENT));
  node->durable = node->live;
  record({Kind::SyncDirectory, relative(path), "", 0});
}

void FaultyFileSystem::remove_all(const std::string& path) {
  const std::lock_guard lock(mutex_);
  begin(path, "remove");
  real_file_system().remove_all(path);
  if (find(path)) {
    const Place place = place_of(path);
    place.folder->live.erase(place.name);
  }
  record({Kind::RemoveAll, relative(path), "", 0});
}

void FaultyFileSystem::fail_at(std::size_t call, int error) {
  const std::lock_guard lock(mutex_);
  failures_[call] = error;
}

void FaultyFileSystem::crash_at(std::size_t call) {
  const std::lock_guard lock(mutex_);
  crash_ = call;
}

std::size_t FaultyFileSystem::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

std::vector<FaultyFileSystem::Operation> FaultyFileSystem::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

void FaultyFileSystem::write_node(const Node& node, const std::string& path, const Survival& survival) {
  if (node.is_folder) {
    stdfs::create_directories(path);
    for (const auto& [name, child] : survival.names == Unsynced::Drop ? node.durable : node.live) {
      write_node(*child, path + "/" + name, survival);
    }
    return;
  }
  std::string bytes = survival.bytes == Unsynced::Drop ? node.durable_bytes : node.live_bytes;
  if (survival.bytes == Unsynced::Tear && node.live_bytes != node.durable_bytes) {
    const std::size_t kept = std::min(node.durable_bytes.size(), bytes.size());
    const std::size_t whole = kept + (bytes.size() - kept) / 2;
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(whole), bytes.end(), '\0');
  }
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  require(out.good(), path, ": cannot write");
}

void FaultyFileSystem::materialise(const std::string& directory, const Survival& survival) const {
  const std::lock_guard lock(mutex_);
  stdfs::remove_all(directory);
  write_node(*tree_, directory, survival);
}

}  // namespace lathe
