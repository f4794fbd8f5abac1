#include "trainer/libraries.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <CLI/Version.hpp>
#include <hdf5.h>
#include <openssl/crypto.h>
#include <pcre2.h>
#include <torch/version.h>
#include <unicode/uvernum.h>
#include <unicode/uversion.h>
#include <xxhash.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "recipes/schema/error.h"
#include "trainer/parallel/gloo.h"

namespace lathe {

namespace {

namespace fs = std::filesystem;

const std::set<std::string> kPackages = {"transformers",
                                         "tokenizers",
                                         "safetensors",
                                         "sentencepiece",
                                         "peft",
                                         "trl",
                                         "accelerate",
                                         "torch",
                                         "h5py",
                                         "gguf",
                                         "diffusers",
                                         "vllm",
                                         "sglang",
                                         "llama_cpp_python",
                                         "ctranslate2",
                                         "mlx",
                                         "mlx_lm",
                                         "onnxruntime",
                                         "openvino",
                                         "tensorboard",
                                         "bitsandbytes",
                                         "text_generation_server",
                                         "stable_diffusion_cpp_python",
                                         "onnxruntime_genai"};
const std::array kPrograms = {"llama-cli", "llama-server",   "llama-quantize",
                              "ollama",    "vllm",           "ct2-transformers-converter",
                              "sd",        "mlx_lm.generate"};

std::string hdf5_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return cat(major, ".", minor, ".", release);
}

std::string icu_version() {
  UVersionInfo numbers;
  char text[U_MAX_VERSION_STRING_LENGTH];
  u_getVersion(numbers);
  u_versionToString(numbers, text);
  return text;
}

std::string pcre2_version() {
  char text[64] = "";
  pcre2_config(PCRE2_CONFIG_VERSION, text);
  const std::string whole = text;  // "10.42 2022-12-11"
  return whole.substr(0, whole.find(' '));
}

std::string xxhash_version() {
  const unsigned number = XXH_versionNumber();
  return cat(number / 10000, ".", number / 100 % 100, ".", number % 100);
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Packages of one folder: "transformers-5.23.0.dist-info".
void find_packages(const fs::path& site, const std::string& place, std::vector<Reader>& found) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(site, error)) {
    const std::string name = entry.path().filename().string();
    const std::string suffix = ".dist-info";
    if (!name.ends_with(suffix)) continue;
    const std::string stem = name.substr(0, name.size() - suffix.size());
    std::string package = stem.substr(0, stem.rfind('-'));
    std::replace(package.begin(), package.end(), '-', '_');
    if (kPackages.count(package)) found.push_back({package, stem.substr(stem.rfind('-') + 1), place});
  }
}

}  // namespace

Json library_versions() {
  Json json = Json::object();
  json["libtorch"] = TORCH_VERSION;
  json["gloo"] = have_gloo() ? "in LibTorch" : "no: built without its headers, one process only";
  json["hdf5"] = hdf5_version();
  json["sentencepiece"] = LATHE_SENTENCEPIECE_VERSION;
  json["pcre2"] = pcre2_version();
  json["icu"] = icu_version();
  json["openssl"] = OpenSSL_version(OPENSSL_VERSION_STRING);
  json["zlib"] = zlibVersion();
  json["xxhash"] = xxhash_version();
  json["yaml-cpp"] = LATHE_YAML_CPP_VERSION;
  json["nlohmann_json"] =
      cat(NLOHMANN_JSON_VERSION_MAJOR, ".", NLOHMANN_JSON_VERSION_MINOR, ".", NLOHMANN_JSON_VERSION_PATCH);
  json["cli11"] = CLI11_VERSION;
  return json;
}

std::vector<Reader> find_readers(const std::vector<std::string>& environments, const std::string& path) {
  std::vector<Reader> found;
  std::error_code error;
  for (const std::string& environment : environments) {
    for (const auto& entry : fs::directory_iterator(fs::path(environment) / "lib", error)) {
      if (!entry.path().filename().string().starts_with("python3")) continue;
      for (const char* const site : {"site-packages", "dist-packages"})
        find_packages(entry.path() / site, environment, found);
    }
  }
  std::sort(found.begin(), found.end(), [](const Reader& a, const Reader& b) {
    return std::tie(a.name, a.version, a.place) < std::tie(b.name, b.version, b.place);
  });
  for (const char* const program : kPrograms) {
    for (std::size_t begin = 0; begin <= path.size();) {
      const std::size_t end = std::min(path.find(':', begin), path.size());
      const fs::path file = fs::path(path.substr(begin, end - begin)) / program;
      begin = end + 1;
      const auto mode = fs::status(file, error).permissions();
      if (error || !fs::is_regular_file(file, error) || (mode & fs::perms::owner_exec) == fs::perms::none)
        continue;
      found.push_back({program, "", file.string()});
      break;
    }
  }
  return found;
}

std::vector<std::string> python_environments() {
  std::vector<std::string> result;
  const std::string home = environment("HOME");
  for (const char* const name : {"VIRTUAL_ENV", "CONDA_PREFIX"})
    if (!environment(name).empty()) result.push_back(environment(name));
  result.insert(result.end(), {"/usr", "/usr/local", home + "/.local"});
  std::string cache = environment("LATHE_CACHE");  // as scripts/peers_env has it
  if (cache.empty())
    cache =
        (environment("XDG_CACHE_HOME").empty() ? home + "/.cache" : environment("XDG_CACHE_HOME")) + "/lathe";
  std::error_code error;
  std::set<std::string> ours;
  for (const auto& entry : fs::directory_iterator(cache, error))
    if (fs::exists(entry.path() / "pyvenv.cfg", error)) ours.insert(entry.path().string());
  result.insert(result.end(), ours.begin(), ours.end());
  return result;
}

}  // namespace lathe
