# Options of our own targets.

# Warnings are errors in our own code, for g++ and nvcc alike.
function(gradspike_warnings target)
  target_compile_options(
    ${target}
    PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Werror -Wno-psabi>
            $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings -Xcompiler=-Wall,-Wextra>)
endfunction()

# Every operation of a formula is rounded on its own: contraction to fused multiply-adds changes spikes.
function(gradspike_numerics target)
  target_compile_options(
    ${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off -fno-math-errno -fno-trapping-math>
                      $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false -Xcompiler=-ffp-contract=off>)
endfunction()

# GRADSPIKE_SANITIZE: empty, address (with undefined behaviour) or thread, for targets without PyTorch.
function(gradspike_sanitizers target)
  if(GRADSPIKE_SANITIZE STREQUAL "address")
    set(flags -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer)
  elseif(GRADSPIKE_SANITIZE STREQUAL "thread")
    set(flags -fsanitize=thread -fno-omit-frame-pointer)
  elseif(GRADSPIKE_SANITIZE)
    message(FATAL_ERROR "GRADSPIKE_SANITIZE must be empty, address or thread, got ${GRADSPIKE_SANITIZE}")
  endif()
  target_compile_options(${target} PRIVATE ${flags})
  target_link_options(${target} PRIVATE ${flags})
endfunction()
