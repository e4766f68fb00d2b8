# What every target of ours shares, and one function for each kind of target.
include_guard()

find_package(Threads REQUIRED)

set(ZOETROPE_SANITIZE "" CACHE STRING "Sanitizers for our code: address,undefined or thread")
option(ZOETROPE_FUZZ "Build the libFuzzer programs of tests/fuzz (clang only)" OFF)
# The presets, and with them CI, say ON; another compiler's new warning must not end somebody's build.
option(ZOETROPE_WARNINGS_AS_ERRORS "Warnings of our code are errors" OFF)

function(zoetrope_target name)
  target_compile_features(${name} PUBLIC cxx_std_20)
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
  target_compile_options(${name} PRIVATE -Wall -Wextra
                         $<$<BOOL:${ZOETROPE_WARNINGS_AS_ERRORS}>:-Werror>)
  set_target_properties(${name} PROPERTIES CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON
                        BUILD_RPATH_USE_ORIGIN ON)
  target_link_libraries(${name} PUBLIC Threads::Threads)
  if(ZOETROPE_SANITIZE)
    target_compile_options(${name} PRIVATE -fsanitize=${ZOETROPE_SANITIZE} -fno-omit-frame-pointer
                                           -fno-sanitize-recover=undefined)
    target_link_options(${name} PRIVATE -fsanitize=${ZOETROPE_SANITIZE})
  endif()
endfunction()

# Adds sources of the calling folder to the core library.
function(zoetrope_core_sources)
  foreach(source ${ARGN})
    target_sources(zoetrope_core PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/${source})
  endforeach()
endfunction()

# zoetrope_backend(cpu SOURCES a.cc ... LIBS DNNL::dnnl): lib/libzoetrope_backend_cpu.so
function(zoetrope_backend name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
  set(target zoetrope_backend_${name})
  add_library(${target} MODULE ${arg_SOURCES})
  zoetrope_target(${target})
  set_target_properties(${target} PROPERTIES CXX_VISIBILITY_PRESET hidden
                        VISIBILITY_INLINES_HIDDEN ON
                        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
  target_link_libraries(${target} PRIVATE zoetrope_core ${arg_LIBS})
endfunction()

# zoetrope_test(graph_test SOURCES a_test.cc ... LIBS ... TIMEOUT 60 COST 30): one doctest program, and
# an entry of ctest that runs it whole or with ARGS.
function(zoetrope_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT;COST" "SOURCES;LIBS;ARGS")
  add_executable(${name} ${arg_SOURCES})
  zoetrope_target(${name})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE zoetrope_core zoetrope_test_main ${arg_LIBS})
  target_compile_definitions(${name} PRIVATE ZOETROPE_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                             ZOETROPE_BINARY_DIR="${CMAKE_BINARY_DIR}")
  zoetrope_test_entry(${name} COMMAND ${name} ${arg_ARGS} TIMEOUT ${arg_TIMEOUT} COST ${arg_COST})
endfunction()

# How many times slower than usual this machine is: what `./dev test` measures (tests/patience.cc).
# Every limit of time is multiplied by it, those inside tests too.
set(ZOETROPE_PATIENCE 1 CACHE STRING "Factor on the tests' limits of time, a whole number")

# One entry of ctest. TIMEOUT in seconds; entries of a high COST begin first; LABELS all: only where
# `./dev test --all` asks for it. 77 is what a test returns that cannot run here (tests/skip.h).
function(zoetrope_test_entry name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT;COST" "COMMAND;LABELS;ENVIRONMENT")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  math(EXPR limit "${arg_TIMEOUT} * ${ZOETROPE_PATIENCE}")
  add_test(NAME ${name} COMMAND ${arg_COMMAND})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${limit} SKIP_RETURN_CODE 77
                       ENVIRONMENT "ZOETROPE_PATIENCE=${ZOETROPE_PATIENCE};${arg_ENVIRONMENT}")
  if(arg_COST)
    set_tests_properties(${name} PROPERTIES COST ${arg_COST})
  endif()
  if(arg_LABELS)
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}")
  endif()
endfunction()

# Folders that may not exist yet in a partial checkout are skipped.
function(zoetrope_subfolders)
  foreach(folder ${ARGN})
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/CMakeLists.txt)
      add_subdirectory(${folder})
    endif()
  endforeach()
endfunction()
