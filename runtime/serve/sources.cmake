# `zoetrope serve`: part of the command, for it is above what `generate` does.
find_package(PkgConfig REQUIRED)
pkg_check_modules(HTTPLIB REQUIRED IMPORTED_TARGET cpp-httplib)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)  # which cpp-httplib brings anyway
add_library(zoetrope_serve_libraries INTERFACE)
target_link_libraries(zoetrope_serve_libraries INTERFACE PkgConfig::HTTPLIB PkgConfig::SQLITE PkgConfig::CRYPTO)

# The page's files stand in the program as texts.
foreach(part html css js json)
  file(GLOB page ${CMAKE_SOURCE_DIR}/runtime/serve/page/*.${part})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page})
  file(READ ${page} text)
  string(TOUPPER ${part} name)
  set(ZOETROPE_PAGE_${name} "${text}")
endforeach()
set(page ${CMAKE_BINARY_DIR}/runtime/serve/page.cc)
configure_file(${CMAKE_SOURCE_DIR}/runtime/serve/page.cc.in ${page} @ONLY)

foreach(source google_api http job_store keys models native_api openai_images openai_videos request server service uploads views worker)
  target_sources(zoetrope_cli PRIVATE ${CMAKE_SOURCE_DIR}/runtime/serve/${source}.cc)
endforeach()
target_sources(zoetrope_cli PRIVATE ${page})

if(ZOETROPE_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # With sanitizers GCC 12 takes std::regex' own members for uninitialised.
  set_source_files_properties(${CMAKE_SOURCE_DIR}/runtime/serve/http.cc PROPERTIES COMPILE_OPTIONS -Wno-maybe-uninitialized)
endif()
