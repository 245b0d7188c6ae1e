# Compiler options: warnings for our own code, sanitizers for everything, and which symbols the addon shows. cmake-js
# overwrites CMAKE_CXX_FLAGS, so nothing here uses that variable.

if(MSVC)
  set(LLAMAESTRO_WARNINGS /W3)
else()
  set(LLAMAESTRO_WARNINGS -Wall -Wextra -Wno-unused-parameter)
endif()

if(LLAMAESTRO_SANITIZE)
  add_compile_options(-fsanitize=${LLAMAESTRO_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${LLAMAESTRO_SANITIZE})
  if(LLAMAESTRO_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
    # llama.cpp casts function pointers and vtables across its C borders by design.
    add_compile_options(-fno-sanitize=vptr,alignment)
  endif()
endif()

# Where a model is only being made, a failed assertion of llama.cpp becomes an exception (native/core/assert-trap.h),
# which has to pass through its C files too.
if(NOT MSVC)
  add_compile_options($<$<COMPILE_LANGUAGE:C>:-fexceptions>)
endif()

# GNU-unique symbols are merged across all shared objects of a process, whatever their visibility: two addons with
# different llama.cpp versions would share statics.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fno-gnu-unique>)
endif()

# The addon shows Node's two entry points and nothing else.
function(llamaestro_export_only_napi target)
  if(APPLE)
    target_link_options(${target} PRIVATE -undefined dynamic_lookup
      "LINKER:-exported_symbols_list,${CMAKE_CURRENT_SOURCE_DIR}/native/cmake/exports.darwin")
  elseif(UNIX)
    target_link_options(${target} PRIVATE "LINKER:--exclude-libs,ALL" "LINKER:--gc-sections"
      "LINKER:--version-script,${CMAKE_CURRENT_SOURCE_DIR}/native/cmake/exports.map")
    set_target_properties(${target} PROPERTIES LINK_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/native/cmake/exports.map")
  endif()
endfunction()
