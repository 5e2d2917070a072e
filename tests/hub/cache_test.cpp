// Finding models in a Hugging Face cache that looks as huggingface_hub leaves it.
#include "hub/cache.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "hub/file_lock.h"
#include "hub/inventory.h"
#include "support/checkpoint_writer.h"

namespace lancet {
namespace {

namespace fs = std::filesystem;
using test::error_message;

/// A cache folder that $HF_HUB_CACHE names while the test runs.
class Hub : public testing::Test {
 protected:
  Hub() {
    for (const char* name : kNames) unsetenv(name);
    setenv("HF_HUB_CACHE", cache_.path().c_str(), 1);
  }
  ~Hub() override {
    for (const char* name : kNames) unsetenv(name);
  }
  void add(const std::string& file) { cache_.write("models--owner--repo/snapshots/" + file, "x"); }
  fs::path snapshot(const std::string& file) const { return cache_.path() / "models--owner--repo/snapshots" / file; }

  static constexpr const char* kNames[] = {"HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"};
  test::TemporaryFolder cache_;
};

TEST_F(Hub, NamesAreOwnerAndRepository) {
  EXPECT_EQ(parse_hub_name("owner/repo")->repo, "owner/repo");
  EXPECT_EQ(parse_hub_name("mistralai/Ministral-3-3B-Instruct-2512-GGUF:Q4_K_M")->quant, "Q4_K_M");
  for (const char* text : {"", "repo", "/abs/path", "./a/b", "../a", "a/b/c", "a/..", "owner/repo:", "owner/re po",
                           "o/r:../x", "a/b:c:d", "~/x", "owner/", "/repo", "a--b/c", "o\n/r", "a:b/c"}) {
    EXPECT_FALSE(parse_hub_name(text)) << text;
  }
}

TEST_F(Hub, VariablesNameTheCache) {
  setenv("HOME", "/h", 1);
  EXPECT_EQ(hub_cache_folder(), cache_.path());
  setenv("HF_HUB_CACHE", "~/mine", 1);
  EXPECT_EQ(hub_cache_folder(), "/h/mine");
  unsetenv("HF_HUB_CACHE");
  EXPECT_EQ(hub_cache_folder(), "/h/.cache/huggingface/hub");
  setenv("XDG_CACHE_HOME", "/x", 1);
  EXPECT_EQ(hub_cache_folder(), "/x/huggingface/hub");
  setenv("HF_HOME", "/hf", 1);
  EXPECT_EQ(hub_cache_folder(), "/hf/hub");
}

TEST_F(Hub, AnExistingPathIsItself) {
  const fs::path file = cache_.write("some.gguf", "x");
  EXPECT_EQ(resolve_model(file.string()), file);
}

TEST_F(Hub, RefsMainPicksTheSnapshot) {
  add("aaa/config.json");
  add("bbb/config.json");
  cache_.write("models--owner--repo/refs/main", "aaa\n");
  EXPECT_EQ(resolve_model("owner/repo"), snapshot("aaa"));
  cache_.write("models--owner--repo/refs/main", "../../../etc");
  fs::last_write_time(snapshot("aaa"), fs::last_write_time(snapshot("bbb")) - std::chrono::hours(1));
  EXPECT_EQ(resolve_model("owner/repo"), snapshot("bbb"));
}

TEST_F(Hub, NewestSnapshotStandsInForRefs) {
  add("old/config.json");
  add("new/config.json");
  fs::last_write_time(snapshot("old"), fs::last_write_time(snapshot("new")) - std::chrono::hours(1));
  EXPECT_EQ(resolve_model("owner/repo"), snapshot("new"));
}

TEST_F(Hub, QuantPicksTheFile) {
  for (const char* name :
       {"c/M-Q4_K_M.gguf", "c/M-Q4_K_S.gguf", "c/M-BF16.gguf", "c/M-F16.gguf", "c/M-BF16-mmproj.gguf",
        "c/mmproj-F32.gguf", "c/Q8_0/M-Q8_0-00001-of-00002.gguf", "c/Q8_0/M-Q8_0-00002-of-00002.gguf"}) {
    add(name);
  }
  EXPECT_EQ(resolve_model("owner/repo:q4_k_m"), snapshot("c/M-Q4_K_M.gguf"));
  EXPECT_EQ(resolve_model("owner/repo:BF16"), snapshot("c/M-BF16.gguf"));
  EXPECT_EQ(resolve_model("owner/repo:f16"), snapshot("c/M-F16.gguf"));
  EXPECT_EQ(resolve_model("owner/repo:Q8_0"), snapshot("c/Q8_0/M-Q8_0-00001-of-00002.gguf"));
  const std::string both = error_message([] { resolve_model("owner/repo:Q4_K"); });
  EXPECT_NE(both.find("M-Q4_K_M.gguf, M-Q4_K_S.gguf"), std::string::npos) << both;
  const std::string none = error_message([] { resolve_model("owner/repo:Q2_K"); });
  EXPECT_NE(none.find("\"Q2_K\""), std::string::npos) << none;
  EXPECT_NE(none.find("M-F16.gguf"), std::string::npos) << none;
  EXPECT_EQ(none.find("mmproj"), std::string::npos) << none;
  const std::string which = error_message([] { resolve_model("owner/repo"); });
  EXPECT_NE(which.find("say which one"), std::string::npos) << which;
}

TEST_F(Hub, TheOnlyGgufNeedsNoQuant) {
  add("c/M-Q4_K_M.gguf");
  add("c/mmproj.gguf");
  EXPECT_EQ(resolve_model("owner/repo"), snapshot("c/M-Q4_K_M.gguf"));
}

TEST_F(Hub, AnIndexOfShardsIsReadForWeightsOnly) {
  add("c/config.json");
  add("c/model.safetensors.index.json");
  EXPECT_EQ(resolve_model("owner/repo"), snapshot("c"));
  const std::string broken = error_message([] { resolve_weights("owner/repo"); });
  EXPECT_NE(broken.find("model.safetensors.index.json"), std::string::npos) << broken;
}

TEST_F(Hub, AbsentModelsSayWhereWasLooked) {
  const std::string empty = error_message([] { resolve_model("owner/other"); });
  EXPECT_NE(empty.find(cache_.path().string()), std::string::npos) << empty;
  EXPECT_NE(empty.find("nothing"), std::string::npos) << empty;
  add("c/README.md");
  const std::string other = error_message([] { resolve_model("owner/other"); });
  EXPECT_NE(other.find("owner/repo"), std::string::npos) << other;
  const std::string readme = error_message([] { resolve_model("owner/repo"); });
  EXPECT_NE(readme.find("README.md"), std::string::npos) << readme;
  const std::string nonsense = error_message([] { resolve_model("/no/such/path"); });
  EXPECT_NE(nonsense.find("no file or folder that exists"), std::string::npos) << nonsense;
  fs::create_directories(cache_.path() / "models--owner--empty");
  EXPECT_NE(error_message([] { resolve_model("owner/empty"); }).find("did not finish"), std::string::npos);
}

TEST_F(Hub, LocksAreHeldWhileSomethingIsRemoved) {
  const std::string digest(64, 'a');
  const fs::path blob = cache_.write("models--owner--repo/blobs/" + digest, "x");
  const fs::path lock = cache_.write(".locks/models--owner--repo/" + digest + ".lock", "");
  const Removal removal = plan_removal({.repo = "owner/repo", .revision = {}, .quant = {}});
  {
    const FileLock fetching(lock, [] {});
    const std::string busy = error_message([&] { remove(removal); });
    EXPECT_NE(busy.find("another process is fetching it"), std::string::npos) << busy;
    EXPECT_TRUE(fs::exists(blob));
  }
  remove(removal);
  EXPECT_FALSE(fs::exists(removal.repository));
  EXPECT_FALSE(is_locked(lock));
}

TEST_F(Hub, BrokenLinksAreNotModels) {
  add("c/M-Q4_0.gguf");
  fs::create_symlink("../../blobs/absent", snapshot("c/M-Q8_0.gguf"));
  EXPECT_EQ(resolve_model("owner/repo"), snapshot("c/M-Q4_0.gguf"));
}

}  // namespace
}  // namespace lancet
