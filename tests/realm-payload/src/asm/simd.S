// Vector registers in and out of memory. Compiled code never touches them.

.arch armv8.7-a+sve

.section .text.simd, "ax"

// x0 = address of 32 quadwords
.global load_vectors
load_vectors:
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    ldr     q\n, [x0, #(16 * \n)]
    .endr
    ret
.global store_vectors
store_vectors:
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    str     q\n, [x0, #(16 * \n)]
    .endr
    ret

// x0 = address of 32 vectors, x1 = of 16 predicates and the first-fault register behind them
.global load_scalable
load_scalable:
    ldr     p0, [x1, #16, mul vl]
    wrffr   p0.b
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    ldr     p\n, [x1, #\n, mul vl]
    .endr
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    ldr     z\n, [x0, #\n, mul vl]
    .endr
    ret
// Reading the first-fault register costs P0, which is put back.
.global store_scalable
store_scalable:
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    str     p\n, [x1, #\n, mul vl]
    .endr
    rdffr   p0.b
    str     p0, [x1, #16, mul vl]
    ldr     p0, [x1]
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    str     z\n, [x0, #\n, mul vl]
    .endr
    ret

// → x0 = bytes of a vector
.global vector_bytes
vector_bytes:
    rdvl    x0, #1
    ret
// Asks for the longest vectors that there are: ZCR_EL1.LEN.
.global use_longest_vectors
use_longest_vectors:
    mov     x0, #0xf
    msr     zcr_el1, x0
    isb
    ret
