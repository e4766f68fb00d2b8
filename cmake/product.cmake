# What a person gets: the command, the backends, the media library and the embedded model. `product`
# builds it, and `cmake --install` lays it out so that bin/ finds lib/zoetrope and share/zoetrope beside it,
# wherever the whole is moved.
include_guard()

# One model file that every build carries, once its checkpoint is in the repository.
set(toybox_checkpoint ${CMAKE_SOURCE_DIR}/models/toybox/toybox.safetensors)
set(toybox ${CMAKE_BINARY_DIR}/share/zoetrope/toybox.zoe)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/models/toybox)
if(EXISTS ${toybox_checkpoint})
  add_custom_command(
    OUTPUT ${toybox}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/share/zoetrope
    COMMAND zoetrope convert --quiet ${toybox_checkpoint} -o ${toybox}
    DEPENDS zoetrope ${toybox_checkpoint}
    COMMENT "Converting models/toybox/toybox.safetensors"
    VERBATIM)
  add_custom_target(toybox ALL DEPENDS ${toybox})
  install(FILES ${toybox} DESTINATION share/zoetrope)
endif()

set(programs zoetrope)
set(libraries zoetrope_core zoetrope_ffmpeg zoetrope_backend_reference zoetrope_backend_cpu
              zoetrope_backend_vulkan zoetrope_backend_cuda)
# For programs over the C interface: include/, lib/ and pkg-config's file, which is as movable as the rest.
set(interfaces zoetrope_c)
set(product)
foreach(target ${programs} ${libraries} ${interfaces} toybox)
  if(TARGET ${target})
    list(APPEND product ${target})
  endif()
endforeach()
add_custom_target(product DEPENDS ${product})

foreach(target ${programs})
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "\$ORIGIN/../lib/zoetrope")
  install(TARGETS ${target} RUNTIME DESTINATION bin)
endforeach()
foreach(target ${libraries})
  if(TARGET ${target})
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "\$ORIGIN")
    install(TARGETS ${target} LIBRARY DESTINATION lib/zoetrope)
  endif()
endforeach()
foreach(target ${interfaces})
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "\$ORIGIN/zoetrope")
  install(TARGETS ${target} LIBRARY DESTINATION lib)
endforeach()
install(FILES include/zoetrope.h DESTINATION include)
configure_file(cmake/zoetrope.pc.in ${CMAKE_BINARY_DIR}/zoetrope.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/zoetrope.pc DESTINATION lib/pkgconfig)
install(FILES LICENSE README.md CHANGELOG.md DESTINATION share/doc/zoetrope)
