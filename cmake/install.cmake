# Installation: a CMake package (find_package(gradspike)), or the folders of a Python wheel under scikit-build-core.
if(SKBUILD)
  set(library_directory gradspike/lib)
  set(program_directory gradspike/bin)
  set(include_directory gradspike/include)
  set(package_directory gradspike/cmake)
  # site-packages/gradspike/lib beside site-packages/torch/lib and site-packages/nvidia/cu13/lib.
  set(library_rpath "$ORIGIN:$ORIGIN/../../torch/lib:$ORIGIN/../../nvidia/cu13/lib")
  set(program_rpath "$ORIGIN/../lib:$ORIGIN/../../torch/lib:$ORIGIN/../../nvidia/cu13/lib")
else()
  set(library_directory ${CMAKE_INSTALL_LIBDIR})
  set(program_directory ${CMAKE_INSTALL_BINDIR})
  set(include_directory ${CMAKE_INSTALL_INCLUDEDIR}/gradspike)
  set(package_directory ${CMAKE_INSTALL_LIBDIR}/cmake/gradspike)
  set(library_rpath "$ORIGIN")
  set(program_rpath "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  if(GRADSPIKE_TORCH)
    # PyTorch lies wherever it was found; programs of others link it themselves.
    string(APPEND program_rpath ":${TORCH_PREFIX}/lib")
  endif()
endif()

set(installed_targets gradspike_core)
if(GRADSPIKE_TORCH)
  list(APPEND installed_targets gradspike)
  if(GRADSPIKE_HAS_CUDA)
    list(APPEND installed_targets gradspike_cuda)
  endif()
endif()
set_target_properties(${installed_targets} PROPERTIES INSTALL_RPATH "${library_rpath}")
set_target_properties(gradspike-run PROPERTIES INSTALL_RPATH "${program_rpath}")
set_target_properties(gradspike_core PROPERTIES EXPORT_NAME core)

install(TARGETS ${installed_targets} EXPORT gradspikeTargets LIBRARY DESTINATION ${library_directory}
        INCLUDES DESTINATION ${include_directory})
install(TARGETS gradspike-run RUNTIME DESTINATION ${program_directory})
install(DIRECTORY include/gradspike DESTINATION ${include_directory})
foreach(folder core math chip)
  install(DIRECTORY csrc/${folder} DESTINATION ${include_directory}/csrc FILES_MATCHING PATTERN "*.h")
endforeach()

include(CMakePackageConfigHelpers)
configure_package_config_file(cmake/gradspikeConfig.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/gradspikeConfig.cmake"
                              INSTALL_DESTINATION ${package_directory})
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/gradspikeConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(EXPORT gradspikeTargets NAMESPACE gradspike:: DESTINATION ${package_directory})
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/gradspikeConfig.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/gradspikeConfigVersion.cmake" cmake/torch.cmake
        DESTINATION ${package_directory})
