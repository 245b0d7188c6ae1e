// JavaScript values as the plain data of the core. Copies without judging: src/engine/validate.ts has checked the
// values and the core checks them again. A value of the wrong type is a fault of ours and throws a JavaScript
// TypeError.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "options.h"

namespace llamaestro::binding {

LoadOptions toLoadOptions(const Napi::Object& value);
Prompt toPrompt(const Napi::Object& value);
// The member `lora` of a request or of job options.
std::vector<AdapterUse> toAdapterUses(const Napi::Object& value);
EmbedOptions toEmbedOptions(const Napi::Object& value);
SequenceRequest toSequenceRequest(const Napi::Object& value);
std::vector<std::string> toStrings(const Napi::Value& value);
std::vector<double> toDoubles(const Napi::Value& float64Array);

// UTF-8 bytes of the texts of a prompt, roughly: what tokenizing it costs.
size_t textBytes(const Prompt& prompt);

}  // namespace llamaestro::binding
