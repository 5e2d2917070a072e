// What is read of a hub's document, and which files are chosen of it.
#include "hub/repository.h"

#include <gtest/gtest.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "support/checkpoint_writer.h"

namespace lancet {
namespace {

using test::error_message;
using Names = std::vector<std::string>;

RepositoryInfo info_of(const Names& names) {
  RepositoryInfo info{.commit = std::string(40, 'a'), .files = {}};
  for (const std::string& name : names) info.files.push_back({name, 10, std::string(40, 'b')});
  return info;
}

Names chosen(const Names& names, const std::string& quant = "") {
  Names out;
  for (const RepositoryFile& file : choose_files("owner/repo", info_of(names), quant)) out.push_back(file.name);
  return out;
}

std::string refused(const Names& names, const std::string& quant = "") {
  return error_message([&] { chosen(names, quant); });
}

RepositoryInfo parsed(const std::string& text) {
  Budget budget("a test");
  return parse_repository_info(text, "info", budget);
}

TEST(Repository, DocumentIsRead) {
  const std::string commit(40, '1'), small(40, '2'), large(64, '3');
  const RepositoryInfo info = parsed(fmt::format(
      R"({{"sha":"{}","tags":[],"siblings":[{{"rfilename":"a/b.json","size":7,"blobId":"{}"}},)"
      R"({{"rfilename":"m.gguf","size":134,"blobId":"{}","lfs":{{"sha256":"{}","size":9000000000,"pointerSize":134}}}}]}})",
      commit, small, small, large));
  EXPECT_EQ(info.commit, commit);
  ASSERT_EQ(info.files.size(), 2u);
  EXPECT_EQ(info.files[0].name, "a/b.json");
  EXPECT_EQ(info.files[0].digest, small);
  EXPECT_EQ(info.files[1].size, 9000000000u);
  EXPECT_EQ(info.files[1].digest, large);
}

TEST(Repository, WrongDocumentsAreRefusedByPlace) {
  const auto message = [](const std::string& siblings) {
    return error_message(
        [&] { parsed(fmt::format(R"({{"sha":"{}","siblings":[{}]}})", std::string(40, '1'), siblings)); });
  };
  const std::string digest = std::string(40, '2');
  const std::string good = fmt::format(R"({{"rfilename":"a","size":7,"blobId":"{}"}})", digest);
  EXPECT_EQ(message(good), "");
  EXPECT_NE(message(good + "," + good).find("siblings[1].rfilename"), std::string::npos);
  EXPECT_NE(message(R"({"rfilename":"a","size":-1,"blobId":""})").find("siblings[0].size"), std::string::npos);
  EXPECT_NE(message(R"({"rfilename":"a","size":1})").find("siblings[0].blobId is missing"), std::string::npos);
  EXPECT_NE(message(R"({"rfilename":"../a","size":1})").find("stays inside its folder"), std::string::npos);
}

TEST(Repository, NamesStayInsideTheirFolder) {
  for (const char* name : {"a", "a/b/c.json", ".gitattributes", "a..b", "..a", "model-00001-of-00002.safetensors", "é"})
    EXPECT_TRUE(is_safe_file_name(name)) << name;
  for (const char* name : {"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "./a", "a\\b", "C:a",
                           "a\nb", "con", "CON.json", "a/nul", "lpt1.txt"})
    EXPECT_FALSE(is_safe_file_name(name)) << name;
  EXPECT_FALSE(is_safe_file_name(std::string_view("a\0b", 3)));
  EXPECT_TRUE(is_safe_file_name(std::string(255, 'n')));
  EXPECT_FALSE(is_safe_file_name(std::string(256, 'n')));
  std::string deep = "n";
  while (deep.size() < 1023) deep += "/n";
  EXPECT_TRUE(is_safe_file_name(deep));
  EXPECT_FALSE(is_safe_file_name(deep + "/n"));
}

TEST(Repository, DeviceNamesAreRefusedOnlyWhereTheFileIsWanted) {
  for (const char* name : {"con.json", "code/aux.py", "NUL"}) EXPECT_TRUE(stays_in_folder(name)) << name;
  for (const char* name : {"", "/con", "../con", "con/..", "c:con"}) EXPECT_FALSE(stays_in_folder(name)) << name;
  EXPECT_EQ(chosen({"con.json", "code/aux.py", "config.json", "model.safetensors"}),
            (Names{"model.safetensors", "config.json"}));
  for (const char* name : {"con.gguf", "nul/M-Q4_0.gguf"})
    EXPECT_NE(refused({name}).find("a device on Windows"), std::string::npos) << name;
  EXPECT_EQ(chosen({"con.Q8_0.gguf", "M-Q4_0.gguf"}, "Q4_0"), Names{"M-Q4_0.gguf"});
}

TEST(Repository, OneCopyOfTheWeightsIsChosenAndTheConfigComesLast) {
  const Names both = {"README.md",
                      "config.json",
                      "consolidated.safetensors",
                      "params.json",
                      "tokenizer.json",
                      "tekken.json",
                      "model-00001-of-00002.safetensors",
                      "pytorch_model.bin",
                      "model-00002-of-00002.safetensors",
                      "model.safetensors.index.json",
                      "adapter_model.safetensors",
                      "original/model.safetensors"};
  EXPECT_EQ(chosen(both), (Names{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                                 "model.safetensors.index.json", "tokenizer.json", "config.json"}));
  EXPECT_EQ(chosen({"config.json", "consolidated.safetensors", "params.json", "tekken.json"}),
            (Names{"consolidated.safetensors", "tekken.json", "params.json"}));
  EXPECT_EQ(chosen({"config.json", "model.safetensors", "model-00001-of-00002.safetensors"}),
            (Names{"model.safetensors", "config.json"}));
}

TEST(Repository, QuantsPickOneGguf) {
  const Names names = {"M-Q4_K_M.gguf",
                       "M-F16.gguf",
                       "M-BF16.gguf",
                       "mmproj-F32.gguf",
                       "mmproj-F16.gguf",
                       "config.json",
                       "Q8/M-Q8_0-00001-of-00002.gguf",
                       "Q8/M-Q8_0-00002-of-00002.gguf"};
  EXPECT_EQ(chosen(names, "q4_k_m"), (Names{"mmproj-F16.gguf", "M-Q4_K_M.gguf"}));
  EXPECT_EQ(chosen(names, "F16"), (Names{"mmproj-F16.gguf", "M-F16.gguf"}));
  EXPECT_EQ(chosen(names, "Q8_0"),
            (Names{"mmproj-F16.gguf", "Q8/M-Q8_0-00002-of-00002.gguf", "Q8/M-Q8_0-00001-of-00002.gguf"}));
  EXPECT_EQ(chosen({"M.gguf", "config.json"}), Names{"M.gguf"});
  EXPECT_NE(refused(names).find("say which one"), std::string::npos);
  EXPECT_NE(refused(names, "Q2_K").find("no .gguf has \"Q2_K\""), std::string::npos);
  EXPECT_NE(refused({"M-00001-of-00003.gguf", "M-00003-of-00003.gguf"}).find("M-00002-of-00003.gguf"),
            std::string::npos);
}

TEST(Repository, WhatIsThereIsSaid) {
  EXPECT_NE(refused({"pytorch_model.bin", "config.json"}).find("config.json, pytorch_model.bin"), std::string::npos);
  EXPECT_NE(refused({}).find("there is: nothing"), std::string::npos);
}

}  // namespace
}  // namespace lancet
