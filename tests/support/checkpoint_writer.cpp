#include "support/checkpoint_writer.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/random.h"
#include "base/utf8.h"

namespace lancet::test {
namespace fs = std::filesystem;
namespace {

/// The pattern of Ministral's published tokenizer.json (docs/ministral3.md, "Tokenizer").
constexpr std::string_view kPattern =
    R"([^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|)"
    R"([^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|)"
    R"(\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)";

std::string number_bytes(const std::string& type, float value) {
  if (type == "F32") return little_endian(value);
  if (type == "F16") return little_endian(f16_from_f32(value));
  if (type == "BF16") return little_endian(bf16_from_f32(value));
  if (type == "F8_E4M3") return little_endian(e4m3_from_f32(value));
  throw std::invalid_argument("checkpoint_writer cannot write " + type);
}

/// GPT-2's map from bytes to printable characters: printable ones stay, the others follow from U+0100 on.
std::vector<std::string> byte_characters() {
  std::vector<std::string> out;
  char32_t next = 0x100;
  for (int b = 0; b < 256; b++) {
    const bool stays = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    std::string text;
    utf8_append(text, stays ? static_cast<char32_t>(b) : next++);
    out.push_back(text);
  }
  return out;
}

std::vector<std::string> tiny_tokens() {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  for (std::string& character : byte_characters()) tokens.push_back(std::move(character));
  tokens.emplace_back("he");
  return tokens;
}

std::string json_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string tiny_tokenizer_json() {
  std::string vocabulary, added;
  const auto tokens = tiny_tokens();
  for (size_t i = 0; i < tokens.size(); i++) {
    vocabulary += fmt::format("{}\"{}\":{}", i ? "," : "", json_escaped(tokens[i]), i);
    if (i < 3) {
      added += fmt::format(R"({}{{"id":{},"content":"{}","single_word":false,"lstrip":false,"rstrip":false,)"
                           R"("normalized":false,"special":true}})",
                           i ? "," : "", i, tokens[i]);
    }
  }
  return fmt::format(
      R"({{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{}],"normalizer":null,)"
      R"("pre_tokenizer":{{"type":"Sequence","pretokenizers":[{{"type":"Split","pattern":{{"Regex":"{}"}},)"
      R"("behavior":"Isolated","invert":false}},{{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,)"
      R"("use_regex":false}}]}},"post_processor":null,"decoder":{{"type":"ByteLevel","add_prefix_space":true,)"
      R"("trim_offsets":true,"use_regex":true}},"model":{{"type":"BPE","dropout":null,"unk_token":null,)"
      R"("continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,)"
      R"("ignore_merges":true,"vocab":{{{}}},"merges":[["h","e"]]}}}})",
      added, kPattern, vocabulary);
}

std::string tiny_config(const TinySizes& s) {
  return fmt::format(
      R"({{"architectures":["Mistral3ForConditionalGeneration"],"dtype":"bfloat16","image_token_index":2,)"
      R"("model_type":"mistral3","multimodal_projector_bias":false,"projector_hidden_act":"gelu",)"
      R"("quantization_config":{{"activation_scheme":"static","dequantize":false,"modules_to_not_convert":)"
      R"(["lm_head","lm_head"],"quant_method":"fp8","weight_block_size":null}},"spatial_merge_size":2,)"
      R"("text_config":{{"attention_dropout":0.0,"head_dim":{},"hidden_act":"silu","hidden_size":{},)"
      R"("intermediate_size":{},"max_position_embeddings":1024,"model_type":"ministral3","num_attention_heads":{},)"
      R"("num_hidden_layers":{},"num_key_value_heads":{},"rms_norm_eps":1e-05,"rope_parameters":{{"beta_fast":32.0,)"
      R"("beta_slow":1.0,"factor":16.0,"llama_4_scaling_beta":0.1,"mscale":1.0,"mscale_all_dim":1.0,)"
      R"("original_max_position_embeddings":64,"rope_theta":10000.0,"rope_type":"yarn","type":"yarn"}},)"
      R"("sliding_window":null,"tie_word_embeddings":true,"use_cache":true,"vocab_size":{}}},)"
      R"("transformers_version":"5.0.0.dev0","vision_config":{{"head_dim":{},"hidden_act":"silu","hidden_size":{},)"
      R"("image_size":{},"intermediate_size":{},"model_type":"pixtral","num_attention_heads":{},"num_channels":3,)"
      R"("num_hidden_layers":{},"patch_size":{},"rope_parameters":{{"rope_theta":10000.0,"rope_type":"default"}}}},)"
      R"("vision_feature_layer":-1}})",
      s.head_width, s.hidden, s.ffn, s.heads, s.layers, s.kv_heads, s.vocabulary, s.vision_hidden / s.vision_heads,
      s.vision_hidden, s.image_size, s.vision_ffn, s.vision_heads, s.vision_layers, s.patch);
}

struct Shape {
  std::string name;
  std::vector<int64_t> shape;
};

/// The linears and gains of one text layer, in Hugging Face's spelling.
std::vector<Shape> layer_linears(const TinySizes& s, const std::string& prefix) {
  const int64_t q = s.heads * s.head_width, kv = s.kv_heads * s.head_width;
  return {{prefix + "self_attn.q_proj", {q, s.hidden}},  {prefix + "self_attn.k_proj", {kv, s.hidden}},
          {prefix + "self_attn.v_proj", {kv, s.hidden}}, {prefix + "self_attn.o_proj", {s.hidden, q}},
          {prefix + "mlp.gate_proj", {s.ffn, s.hidden}}, {prefix + "mlp.up_proj", {s.ffn, s.hidden}},
          {prefix + "mlp.down_proj", {s.hidden, s.ffn}}};
}

void add_vision_tensors(std::vector<WriterTensor>& out, const TinySizes& s) {
  const int64_t hidden = s.vision_hidden, ffn = s.vision_ffn;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    out.push_back(make_tensor(name + ".weight", "BF16", std::move(shape)));
  };
  add("vision_tower.patch_conv", {hidden, 3, s.patch, s.patch});
  add("vision_tower.ln_pre", {hidden});
  for (int i = 0; i < s.vision_layers; i++) {
    const std::string prefix = fmt::format("vision_tower.transformer.layers.{}.", i);
    for (const char* gain : {"attention_norm", "ffn_norm"}) add(prefix + gain, {hidden});
    for (const char* x : {"q", "k", "v", "o"}) add(fmt::format("{}attention.{}_proj", prefix, x), {hidden, hidden});
    for (const char* x : {"gate", "up"}) add(fmt::format("{}feed_forward.{}_proj", prefix, x), {ffn, hidden});
    add(prefix + "feed_forward.down_proj", {hidden, ffn});
  }
  add("multi_modal_projector.norm", {hidden});
  add("multi_modal_projector.patch_merger.merging_layer", {hidden, hidden * 4});
  add("multi_modal_projector.linear_1", {s.hidden, hidden});
  add("multi_modal_projector.linear_2", {s.hidden, s.hidden});
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "lancet-test-XXXXXX").string();
  if (!mkdtemp(name.data())) throw std::system_error(errno, std::generic_category(), name);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;  // a folder that stays behind in the temporary one harms nobody
  fs::remove_all(path_, ignored);
}

fs::path TemporaryFolder::write(const fs::path& name, std::string_view bytes) const {
  const fs::path path = path_ / name;
  fs::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
  return path;
}

WriterTensor make_tensor(const std::string& name, const std::string& type, std::vector<int64_t> shape) {
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  Random random(hash64(std::as_bytes(std::span(name))));
  std::string bytes;
  for (int64_t i = 0; i < count; i++) bytes += number_bytes(type, static_cast<float>(random.normal() * 0.25));
  return {name, type, std::move(shape), std::move(bytes)};
}

WriterTensor make_values(const std::string& name, const std::string& type, std::vector<int64_t> shape,
                         const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) bytes += number_bytes(type, value);
  return {name, type, std::move(shape), std::move(bytes)};
}

std::string safetensors_file(std::string_view header, std::string_view data) {
  std::string out = little_endian(uint64_t{header.size()});
  out += header;
  out += data;
  return out;
}

std::string safetensors_file(const std::vector<WriterTensor>& tensors) {
  std::string header = R"({"__metadata__":{"format":"pt"})", data;
  for (const WriterTensor& tensor : tensors) {
    header += fmt::format(R"(,"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", tensor.name, tensor.type,
                          fmt::join(tensor.shape, ","), data.size(), data.size() + tensor.bytes.size());
    data += tensor.bytes;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return safetensors_file(header, data);
}

GgufWriter& GgufWriter::string(const std::string& key, std::string_view value) {
  return raw(key, 8, little_endian(uint64_t{value.size()}) + std::string(value));
}

GgufWriter& GgufWriter::strings(const std::string& key, const std::vector<std::string>& values) {
  std::string bytes = little_endian(uint32_t{8}) + little_endian(uint64_t{values.size()});
  for (const std::string& value : values) bytes += little_endian(uint64_t{value.size()}) + value;
  return raw(key, 9, std::move(bytes));
}

GgufWriter& GgufWriter::i32s(const std::string& key, const std::vector<int32_t>& values) {
  std::string bytes = little_endian(uint32_t{5}) + little_endian(uint64_t{values.size()});
  for (const int32_t value : values) bytes += little_endian(value);
  return raw(key, 9, std::move(bytes));
}

GgufWriter& GgufWriter::raw(const std::string& key, uint32_t type, std::string bytes) {
  for (Entry& entry : entries) {
    if (entry.key != key) continue;
    entry = {key, type, std::move(bytes)};
    return *this;
  }
  entries.push_back({key, type, std::move(bytes)});
  return *this;
}

GgufWriter& GgufWriter::remove(const std::string& key) {
  std::erase_if(entries, [&](const Entry& entry) { return entry.key == key; });
  return *this;
}

std::string GgufWriter::bytes() const {
  constexpr std::pair<std::string_view, uint32_t> kTypes[] = {
      {"F32", 0}, {"F16", 1}, {"Q4_0", 2}, {"Q8_0", 8}, {"BF16", 30}};
  std::string out = "GGUF" + little_endian(version) + little_endian(uint64_t{tensors.size()}) +
                    little_endian(uint64_t{entries.size()});
  for (const Entry& entry : entries) {
    out += little_endian(uint64_t{entry.key.size()}) + entry.key + little_endian(entry.type) + entry.bytes;
  }
  std::string data;
  for (const WriterTensor& tensor : tensors) {
    data.resize((data.size() + alignment - 1) / alignment * alignment);
    out += little_endian(uint64_t{tensor.name.size()}) + tensor.name +
           little_endian(static_cast<uint32_t>(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;) out += little_endian(tensor.shape[i]);
    const auto* type =
        std::find_if(std::begin(kTypes), std::end(kTypes), [&](auto& t) { return t.first == tensor.type; });
    out += little_endian(type->second) + little_endian(uint64_t{data.size()});
    data += tensor.bytes;
  }
  out.resize((out.size() + alignment - 1) / alignment * alignment);
  return out + data;
}

TinyFolder::TinyFolder(const TinySizes& sizes) : config(tiny_config(sizes)), tokenizer(tiny_tokenizer_json()) {
  generation_config = R"({"bos_token_id":1,"eos_token_id":2})";
  tokenizer_config = R"({"bos_token":"<s>","eos_token":"</s>","unk_token":"<unk>"})";
  chat_template = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}";
  const std::string text = "language_model.model.";
  tensors.push_back(make_tensor(text + "embed_tokens.weight", "BF16", {sizes.vocabulary, sizes.hidden}));
  tensors.push_back(make_tensor(text + "norm.weight", "BF16", {sizes.hidden}));
  for (int i = 0; i < sizes.layers; i++) {
    const std::string prefix = fmt::format("{}layers.{}.", text, i);
    for (const char* gain : {"input_layernorm", "post_attention_layernorm"}) {
      tensors.push_back(make_tensor(prefix + gain + ".weight", "BF16", {sizes.hidden}));
    }
    for (const Shape& linear : layer_linears(sizes, prefix)) {
      tensors.push_back(make_tensor(linear.name + ".weight", "F8_E4M3", linear.shape));
      tensors.push_back(make_values(linear.name + ".weight_scale_inv", "BF16", {}, {0.0078125f * (1 + float(i))}));
      tensors.push_back(make_values(linear.name + ".activation_scale", "BF16", {}, {0.02f}));
    }
  }
  add_vision_tensors(tensors, sizes);
}

WriterTensor& TinyFolder::tensor(std::string_view name) {
  for (WriterTensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::invalid_argument("no tensor " + std::string(name));
}

void TinyFolder::remove(std::string_view name) {
  if (std::erase_if(tensors, [&](const WriterTensor& tensor) { return tensor.name == name; }) == 0) {
    throw std::invalid_argument("no tensor " + std::string(name));
  }
}

void TinyFolder::configure(std::string_view from, std::string_view to) {
  const size_t at = config.find(from);
  if (at == std::string::npos) throw std::invalid_argument("the configuration has no " + std::string(from));
  config.replace(at, from.size(), to);
}

void TinyFolder::write(const TemporaryFolder& folder) const {
  folder.write("config.json", config);
  folder.write("tokenizer.json", tokenizer);
  folder.write("model.safetensors", safetensors_file(tensors));
  if (!generation_config.empty()) folder.write("generation_config.json", generation_config);
  if (!tokenizer_config.empty()) folder.write("tokenizer_config.json", tokenizer_config);
  if (!chat_template.empty()) folder.write("chat_template.jinja", chat_template);
}

GgufWriter tiny_gguf(const TinySizes& sizes) {
  GgufWriter out;
  const auto u32 = [&](const std::string& key, int value) { out.u32("mistral3." + key, static_cast<uint32_t>(value)); };
  out.string("general.architecture", "mistral3").string("general.name", "Tiny");
  u32("vocab_size", sizes.vocabulary);
  u32("context_length", 1024);
  u32("embedding_length", sizes.hidden);
  u32("block_count", sizes.layers);
  u32("feed_forward_length", sizes.ffn);
  u32("attention.head_count", sizes.heads);
  u32("attention.head_count_kv", sizes.kv_heads);
  u32("attention.key_length", sizes.head_width);
  u32("attention.value_length", sizes.head_width);
  u32("rope.dimension_count", sizes.head_width);
  u32("rope.scaling.original_context_length", 64);
  out.f32("mistral3.attention.layer_norm_rms_epsilon", 1e-5f).f32("mistral3.attention.temperature_scale", 0.1f);
  out.f32("mistral3.rope.freq_base", 10000.0f).string("mistral3.rope.scaling.type", "yarn");
  out.f32("mistral3.rope.scaling.factor", 16.0f).f32("mistral3.rope.scaling.yarn_log_multiplier", 1.0f);
  std::vector<int32_t> types(260, 1);
  std::fill_n(types.begin(), 3, 3);
  out.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", "tekken");
  out.strings("tokenizer.ggml.tokens", tiny_tokens()).strings("tokenizer.ggml.merges", {"h e"});
  out.i32s("tokenizer.ggml.scores", std::vector<int32_t>(260, 0)).i32s("tokenizer.ggml.token_type", types);
  out.u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2);
  out.u32("tokenizer.ggml.unknown_token_id", 0).boolean("tokenizer.ggml.add_bos_token", true);
  out.string("tokenizer.chat_template", "{{ bos_token }}");
  out.tensors.push_back(make_tensor("token_embd.weight", "F32", {sizes.vocabulary, sizes.hidden}));
  out.tensors.push_back(make_tensor("output_norm.weight", "F32", {sizes.hidden}));
  constexpr const char* kNames[] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
  for (int i = 0; i < sizes.layers; i++) {
    const auto linears = layer_linears(sizes, "");
    for (size_t j = 0; j < linears.size(); j++) {
      out.tensors.push_back(make_tensor(fmt::format("blk.{}.{}.weight", i, kNames[j]), "F32", linears[j].shape));
    }
    for (const char* gain : {"attn_norm", "ffn_norm"}) {
      out.tensors.push_back(make_tensor(fmt::format("blk.{}.{}.weight", i, gain), "F32", {sizes.hidden}));
    }
  }
  return out;
}

std::string error_message(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.message();
  }
  return {};
}

}  // namespace lancet::test
