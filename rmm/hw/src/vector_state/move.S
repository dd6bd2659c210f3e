// Vector registers between the CPU and memory. In memory they lie one after the other, at the
// length that they have when the routine is called.

.arch_extension simd
.arch_extension sve

// \operation for four registers at a time; clobbers x0.
.macro simd_registers operation
    \operation {v0.2d, v1.2d, v2.2d, v3.2d}, [x0], #64
    \operation {v4.2d, v5.2d, v6.2d, v7.2d}, [x0], #64
    \operation {v8.2d, v9.2d, v10.2d, v11.2d}, [x0], #64
    \operation {v12.2d, v13.2d, v14.2d, v15.2d}, [x0], #64
    \operation {v16.2d, v17.2d, v18.2d, v19.2d}, [x0], #64
    \operation {v20.2d, v21.2d, v22.2d, v23.2d}, [x0], #64
    \operation {v24.2d, v25.2d, v26.2d, v27.2d}, [x0], #64
    \operation {v28.2d, v29.2d, v30.2d, v31.2d}, [x0], #64
.endm

.macro sve_vectors operation
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    \operation z\n, [x0, #\n, mul vl]
    .endr
    .irp    n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    \operation z\n, [x1, #(\n - 16), mul vl]
    .endr
.endm

.macro sve_predicates operation
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    \operation p\n, [x2, #\n, mul vl]
    .endr
.endm

.section .text.vector_state, "ax"

// void rmm_save_simd(u128 registers[32]): V0 to V31.
.global rmm_save_simd
rmm_save_simd:
    simd_registers st1
    ret

// void rmm_load_simd(const u128 registers[32])
.global rmm_load_simd
rmm_load_simd:
    simd_registers ld1
    ret

// void rmm_clear_simd(void)
.global rmm_clear_simd
rmm_clear_simd:
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movi    v\n\().2d, #0
    .endr
    .irp    n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    movi    v\n\().2d, #0
    .endr
    ret

// void rmm_save_sve(void *low, void *high, void *predicates, u64 first_fault)
//
// Z0 to Z15, Z16 to Z31, P0 to P15. The first-fault register follows the predicates if
// `first_fault` is not zero.
.global rmm_save_sve
rmm_save_sve:
    sve_vectors str
    sve_predicates str
    cbz     x3, 1f
    rdffr   p0.b
    str     p0, [x2, #16, mul vl]
1:  ret

// void rmm_load_sve(const void *low, const void *high, const void *predicates, u64 first_fault)
.global rmm_load_sve
rmm_load_sve:
    sve_vectors ldr
    cbz     x3, 1f
    ldr     p0, [x2, #16, mul vl]
    wrffr   p0.b
1:  sve_predicates ldr
    ret

// void rmm_clear_sve(void): vectors, predicates and the first-fault register.
.global rmm_clear_sve
rmm_clear_sve:
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    mov     z\n\().b, #0
    .endr
    .irp    n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    mov     z\n\().b, #0
    .endr
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    pfalse  p\n\().b
    .endr
    wrffr   p0.b
    ret
