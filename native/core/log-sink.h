// The one way into the log hub for code of this room that has text to add (the glue under llama.cpp's common library).
#pragma once

namespace llamaestro {

// `level` as in ggml_log_level (5 continues the line before); `text` may hold several lines or a part of one.
void addLogText(int level, const char* text);

}  // namespace llamaestro
