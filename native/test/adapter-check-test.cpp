// LoRA files and uses of adapters that make no sense.
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "adapter-files.h"
#include "driver.h"
#include "harness.h"

using namespace llamaestro;
using tests::AdapterSpec;
using tests::Driver;
using tests::loadOptions;
using tests::writeAdapter;

namespace {

using Uses = std::vector<AdapterUse>;

SequenceRequest request(const Uses& lora) {
  SequenceRequest request = tests::textRequest("hello", 4);
  request.lora = lora;
  return request;
}

std::string refusal(const Result<uint32_t>& result) {
  return result.ok() ? "ok" : result.error().code + " " + result.error().param;
}

}  // namespace

TEST("adapters: files that are none, or for another model, are refused by name") {
  const auto loads = [](const std::string& file, const std::string& model = "tiny") {
    LoadOptions options = loadOptions(model);
    options.adapters = {{"bad", file}};
    const Result<MemoryPlan> plan = planMemory(options);
    if (plan.ok()) return std::string("ok");
    CHECK_EQUAL(plan.error().code, "model_unusable");
    CHECK_EQUAL(plan.error().param, "adapters");
    return plan.error().message;
  };
  const auto says = [](const std::string& message, const std::string& words) {
    if (message.find(words) == std::string::npos) tests::failAt(__FILE__, __LINE__, message + " has no " + words);
  };
  says(loads("/nowhere/adapter.gguf"), "cannot be opened");
  says(loads("/"), "not a regular file");
  says(loads(tests::modelPath("tiny")), "no LoRA adapter: general.type is 'model'");
  AdapterSpec spec;
  CHECK_EQUAL(loads(writeAdapter(spec)), "ok");
  says(loads(writeAdapter(spec), "embedder"), "for models of architecture 'llama', not 'bert'");
  says(loads(writeAdapter(spec), "copier"), "the shape of its factors");
  const auto edited = [&](const std::function<void(gguf_context*)>& edit) {
    AdapterSpec changed = spec;
    changed.edit = edit;
    return loads(writeAdapter(changed));
  };
  says(edited([](gguf_context* file) { gguf_set_val_str(file, "adapter.type", "control"); }), "adapter.type");
  says(edited([](gguf_context* file) { gguf_set_val_u32(file, "general.type", 1); }), "general.type");
  says(edited([](gguf_context* file) { gguf_set_val_u32(file, "adapter.lora.alpha", 1); }), "alpha must be a float");
  for (const float alpha : {-1.0f, 1e9f, NAN, INFINITY}) {
    CHECK(edited([&](gguf_context* file) { gguf_set_val_f32(file, "adapter.lora.alpha", alpha); }) != "ok");
  }
  const uint32_t tokens[] = {1, 2};
  says(edited([&](gguf_context* file) {
         gguf_set_arr_data(file, "adapter.alora.invocation_tokens", GGUF_TYPE_UINT32, tokens, 2);
       }),
       "invocation tokens");
  AdapterSpec changed = spec;
  changed.leavesOutB = true;
  says(loads(writeAdapter(changed)), "one of the two factors");
  changed = spec;
  changed.part = "nothing";
  says(loads(writeAdapter(changed)), "no tensors");
  changed = spec;
  changed.type = GGML_TYPE_Q4_0;
  changed.rank = 32;
  says(loads(writeAdapter(changed)), "adapters are f32");
  for (const char* part : {"attn_q", "token_embd", "output.weight"}) {
    for (int at = 0; at < 6; ++at) {
      changed = spec;
      changed.part = part;
      changed.reshape = [&](bool isA, int64_t* lengths) {
        if (isA == (at % 2 == 0)) lengths[at / 2] += 1;
      };
      CHECK(loads(writeAdapter(changed)) != "ok");
    }
    changed.reshape = nullptr;
    CHECK_EQUAL(loads(writeAdapter(changed)), "ok");
  }
}

TEST("adapters: a factor that the architecture would not compute with is refused") {
  AdapterSpec spec;
  spec.model = "../architectures/mamba";
  spec.part = "ssm_a";
  LoadOptions options = loadOptions(spec.model);
  options.adapters = {{"a", writeAdapter(spec)}};
  const Error error = planMemory(options).error();
  CHECK_EQUAL(error.code + " " + error.param, "model_unusable adapters");
  CHECK(error.message.find("ssm_a") != std::string::npos);
}

TEST("adapters: a factor that vectors and scores are not computed with is refused") {
  AdapterSpec spec;
  spec.part = "output";
  LoadOptions options = loadOptions("tiny", "embed");
  options.contextTokens = 512;
  options.adapters = {{"a", writeAdapter(spec)}};
  const Error error = planMemory(options).error();
  CHECK_EQUAL(error.code + " " + error.param, "invalid_request adapters");
  CHECK(error.message.find("output.weight") != std::string::npos);
  spec.part = "blk.";
  options.adapters = {{"a", writeAdapter(spec)}};
  CHECK(planMemory(options).ok());
  for (const char* model : {"embedder", "reranker"}) {
    spec.model = model;
    options = loadOptions(model, model == std::string("embedder") ? "embed" : "rerank");
    options.contextTokens = 512;
    options.adapters = {{"a", writeAdapter(spec)}};
    CHECK(planMemory(options).ok());
  }
}

TEST("adapters: a file cut anywhere is refused") {
  const std::string whole = writeAdapter({});
  const std::string cut = tests::scratchFolder() + "/cut.gguf";
  const auto size = std::filesystem::file_size(whole);
  for (uint64_t bytes = 0; bytes < size; bytes += 1 + size / 97) {
    std::filesystem::copy_file(whole, cut, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(cut, bytes);
    LoadOptions options = loadOptions("tiny");
    options.adapters = {{"cut", cut}};
    CHECK_EQUAL(planMemory(options).error().code, "model_unusable");
  }
}

TEST("adapters: names and scales that make no sense are refused") {
  LoadOptions plain = loadOptions("tiny");
  const std::string file = writeAdapter({});
  plain.adapters = {{"a", file}, {"b", file}};
  Driver driver(plain);
  const std::vector<Uses> wrong = {{{"c", {}}},   {{"", {}}},        {{"a", {}}, {"a", 2}},
                                   {{"a", NAN}},  {{"a", INFINITY}}, {{"a", 101}},
                                   {{"a", -101}}, {{"a", 1e300}},    Uses(5, {"a", {}})};
  for (const Uses& lora : wrong) CHECK_EQUAL(refusal(driver.engine().submit(request(lora))), "invalid_request lora");
  plain.adapters.clear();
  Driver without(plain);
  CHECK_EQUAL(refusal(without.engine().submit(request({{"a", {}}}))), "invalid_request lora");
  const std::vector<std::vector<AdapterOption>> bad = {{{"", file}},
                                                       {{"x", ""}},
                                                       {{"x", file}, {"x", file}},
                                                       {{std::string(65, 'x'), file}},
                                                       std::vector<AdapterOption>(17, {"x", file})};
  for (const std::vector<AdapterOption>& adapters : bad) {
    plain.adapters = adapters;
    const Error error = planMemory(plain).error();
    CHECK_EQUAL(error.code + " " + error.param, "invalid_request adapters");
  }
  plain.adapters = {{"x", file}};
  plain.purpose = "vocab";
  CHECK_EQUAL(planMemory(plain).error().param, "adapters");
}
