# split-tests: models spread over several devices, with two servers of llama.cpp's RPC backend standing in for GPUs. That
# backend is compiled here and linked to these programs alone; llama.cpp itself stays as the addon has it.
set(RPC_DIR "${LLAMA_CPP_DIR}/ggml/src/ggml-rpc")
add_library(llamaestro-rpc STATIC EXCLUDE_FROM_ALL "${RPC_DIR}/ggml-rpc.cpp" "${RPC_DIR}/transport.cpp")
target_include_directories(llamaestro-rpc SYSTEM PUBLIC "${LLAMA_CPP_DIR}/ggml/include"
  PRIVATE "${LLAMA_CPP_DIR}/ggml/src")
target_compile_options(llamaestro-rpc PRIVATE -w)
target_link_libraries(llamaestro-rpc PUBLIC ggml Threads::Threads)

add_executable(rpc-server EXCLUDE_FROM_ALL native/test/split/rpc-server.cpp)
target_link_libraries(rpc-server PRIVATE llamaestro-rpc)

add_executable(split-tests EXCLUDE_FROM_ALL native/test/split/split-test.cpp native/test/main.cpp
  native/test/driver.cpp)
target_include_directories(split-tests PRIVATE native/test)
target_compile_options(split-tests PRIVATE ${LLAMAESTRO_WARNINGS})
target_compile_definitions(split-tests PRIVATE ${LLAMAESTRO_DEFINITIONS})
target_link_libraries(split-tests PRIVATE llamaestro-rpc llamaestro-core llamaestro-common llama ggml Threads::Threads)
add_dependencies(split-tests rpc-server)
