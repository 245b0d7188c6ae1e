# Version strings: ours from package.json, llama.cpp's tag from the pin, unless somebody else's checkout is used.

file(READ "${CMAKE_CURRENT_SOURCE_DIR}/package.json" LLAMAESTRO_PACKAGE)
string(JSON LLAMAESTRO_VERSION GET "${LLAMAESTRO_PACKAGE}" version)

set(LLAMAESTRO_LLAMA_TAG "own checkout")
if(EXISTS "${LLAMA_CPP_DIR}/.llamaestro-stamp" AND EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/vendor/llama.cpp.json")
  file(READ "${CMAKE_CURRENT_SOURCE_DIR}/vendor/llama.cpp.json" LLAMAESTRO_PIN)
  string(JSON LLAMAESTRO_LLAMA_TAG GET "${LLAMAESTRO_PIN}" tag)
endif()

set(LLAMAESTRO_DEFINITIONS
  LLAMAESTRO_VERSION="${LLAMAESTRO_VERSION}"
  LLAMAESTRO_LLAMA_TAG="${LLAMAESTRO_LLAMA_TAG}"
  LLAMAESTRO_BACKEND="${LLAMAESTRO_BACKEND}")

# The step budget of templates comes with a patch of ours; somebody else's checkout may lack it.
file(READ "${LLAMA_CPP_DIR}/common/jinja/runtime.h" LLAMAESTRO_JINJA_HEADER)
if(LLAMAESTRO_JINJA_HEADER MATCHES "step_budget")
  list(APPEND LLAMAESTRO_DEFINITIONS LLAMAESTRO_JINJA_BUDGET)
endif()

# So does the one of grammars.
file(READ "${LLAMA_CPP_DIR}/src/llama-grammar.h" LLAMAESTRO_GRAMMAR_HEADER)
if(LLAMAESTRO_GRAMMAR_HEADER MATCHES "llama_grammar_budget")
  list(APPEND LLAMAESTRO_DEFINITIONS LLAMAESTRO_GRAMMAR_BUDGET)
endif()

# And so does the one of the simulation over several devices, without which figures are a bound.
file(READ "${LLAMA_CPP_DIR}/ggml/src/ggml-backend.cpp" LLAMAESTRO_SCHED_SOURCE)
if(NOT LLAMAESTRO_SCHED_SOURCE MATCHES "void ggml_backend_sched_reserve_size[^}]*ggml_backend_sched_reset")
  list(APPEND LLAMAESTRO_DEFINITIONS LLAMAESTRO_EXACT_SPLIT)
endif()
