# Imported targets for an installed PyTorch (wheel or libtorch archive): gradspike::torch and, with CUDA,
# gradspike::torch_cuda. find_package(Torch) is not used: with a CUDA wheel it needs a toolkit even for CPU targets.
set(TORCH_PREFIX "" CACHE PATH "Folder of PyTorch with include/ and lib/; empty: ask Python")

if(NOT TORCH_PREFIX)
  find_package(Python3 COMPONENTS Interpreter REQUIRED)
  execute_process(
    COMMAND ${Python3_EXECUTABLE} -c "import torch; print(torch.__path__[0])"
    OUTPUT_VARIABLE torch_prefix
    OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE torch_found
    ERROR_QUIET)
  if(NOT torch_found EQUAL 0)
    message(FATAL_ERROR "PyTorch is not installed for ${Python3_EXECUTABLE}: install torch==2.11.0 and build with "
                        "--no-build-isolation, give -DTORCH_PREFIX=, or build without the operators: -DGRADSPIKE_TORCH=OFF")
  endif()
  set(TORCH_PREFIX "${torch_prefix}" CACHE PATH "Folder of PyTorch with include/ and lib/" FORCE)
endif()

file(STRINGS "${TORCH_PREFIX}/include/torch/headeronly/version.h" torch_version_lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+).*" "\\1.\\2.\\3" GRADSPIKE_TORCH_VERSION "${torch_version_lines}")
if(NOT GRADSPIKE_TORCH_VERSION MATCHES "^2\\.11\\.")
  message(FATAL_ERROR "gradspike is built for PyTorch 2.11, found ${GRADSPIKE_TORCH_VERSION} in ${TORCH_PREFIX}")
endif()

function(gradspike_torch_library name)
  find_library(GRADSPIKE_LIB_${name} ${name} PATHS "${TORCH_PREFIX}/lib" NO_DEFAULT_PATH REQUIRED)
  set(GRADSPIKE_LIB_${name} "${GRADSPIKE_LIB_${name}}" PARENT_SCOPE)
endfunction()

foreach(name torch torch_cpu c10)
  gradspike_torch_library(${name})
endforeach()

add_library(gradspike_torch INTERFACE IMPORTED GLOBAL)
target_include_directories(gradspike_torch SYSTEM INTERFACE "${TORCH_PREFIX}/include"
                                                            "${TORCH_PREFIX}/include/torch/csrc/api/include")
target_link_libraries(gradspike_torch INTERFACE "${GRADSPIKE_LIB_torch}" "${GRADSPIKE_LIB_torch_cpu}" "${GRADSPIKE_LIB_c10}")
