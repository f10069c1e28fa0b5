# The CUDA kernels: compiled by nvcc, and by the host compiler against the executor of tests/cuda_host.
set(GRADSPIKE_CUDA_SOURCES
    cuda/aelif.cu
    cuda/eventprop.cu
    cuda/events.cu
    cuda/graded_spikes.cu
    cuda/lif.cu
    cuda/packed_spikes.cu
    cuda/prepacked.cu
    cuda/recurrent_lif.cu
    cuda/sparse_graded_spikes.cu
    cuda/synapse_lif.cu
    cuda/weights.cu)
