// Stands in for two files of llama.cpp's common library that the core does not link: its logger (an own thread that
// writes to stderr) and its build info. Lines go to the log hub instead.
#include <cstdarg>
#include <cstdio>

#include "build-info.h"
#include "log-sink.h"
#include "log.h"

struct common_log {};

int common_log_get_verbosity_thold(void) { return LOG_LEVEL_ERROR; }
void common_log_set_verbosity_thold(int) {}
bool common_log_get_jsonl(void) { return false; }
void common_log_set_jsonl(bool) {}
int common_log_get_verbosity(enum ggml_log_level) { return LOG_LEVEL_WARN; }
void common_log_default_callback(enum ggml_log_level level, const char* text, void*) {
  llamaestro::addLogText(static_cast<int>(level), text);
}
void common_log_add_json(struct common_log*, const char*, const common_json&) {}
void common_log_pause(struct common_log*) {}
void common_log_resume(struct common_log*) {}
void common_log_flush(struct common_log*) {}
void common_log_set_prefix(struct common_log*, bool) {}
void common_log_set_timestamps(struct common_log*, bool) {}

struct common_log* common_log_main() {
  static common_log only;
  return &only;
}

void common_log_add(struct common_log*, enum ggml_log_level level, const char* format, ...) {
  char text[2048];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  llamaestro::addLogText(static_cast<int>(level), text);
}

int llama_build_number(void) { return 0; }
const char* llama_commit(void) { return LLAMAESTRO_LLAMA_TAG; }
const char* llama_compiler(void) { return "unknown"; }
const char* llama_build_target(void) { return "unknown"; }
const char* llama_build_info(void) { return LLAMAESTRO_LLAMA_TAG; }
void llama_print_build_info(const char*, FILE*) {}
