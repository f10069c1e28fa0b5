# The CUDA kernels: compiled by nvcc, and by the host compiler against the executor of tests/cuda_host.
set(GRADSPIKE_CUDA_SOURCES
    cuda/weights.cu
    cuda/graded_spikes.cu
    cuda/lif.cu
    cuda/aelif.cu
    cuda/eventprop.cu)
