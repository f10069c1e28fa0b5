# CUDA kernels (no Torch): object library gradspike_cuda_kernels. The operators link it into libgradspike_cuda.so.
set(GRADSPIKE_CUDA_ARCHITECTURES "80-real;90" CACHE STRING "CUDA architectures: SASS for each, PTX for the last")
set(CMAKE_CUDA_ARCHITECTURES "${GRADSPIKE_CUDA_ARCHITECTURES}")
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)

set(GRADSPIKE_CUDA_SOURCES cuda/weights.cu cuda/graded_spikes.cu cuda/lif.cu cuda/recurrent_lif.cu)
add_library(gradspike_cuda_kernels OBJECT ${GRADSPIKE_CUDA_SOURCES})
target_include_directories(gradspike_cuda_kernels PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
# Registers must not spill, and nothing may be contracted: both are gates of the build.
target_compile_options(
  gradspike_cuda_kernels
  PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-std=c++17
          --expt-relaxed-constexpr
          --expt-extended-lambda
          -Xfatbin=-compress-all
          -Xptxas=-warn-spills
          -Xptxas=-warn-lmem-usage
          -Xptxas=-Werror>)
gradspike_warnings(gradspike_cuda_kernels)
gradspike_numerics(gradspike_cuda_kernels)
