// The compression function of SHA-256 by the CPU's instructions (FEAT_SHA256).
//
// void rmm_sha256(u32 state[8], const u8 *blocks, u64 count, u64 sve)
//
// `count` is not zero; `sve` says whether vectors are longer than 128 bits. No vector register
// changes, whatever its length.
//
// v0 = a b c d, v1 = e f g h, v2 to v5 = sixteen words of the message schedule, v6 and v7 = round
// constants, v8 = a b c d before the four rounds.

.arch_extension sha2

// Four rounds with the schedule words in \words.
.macro sha256_rounds constants, words
    add     \constants\().4s, \constants\().4s, \words\().4s
    mov     v8.16b, v0.16b
    sha256h q0, q1, \constants\().4s
    sha256h2 q1, q8, \constants\().4s
.endm

// Replaces four schedule words by those sixteen places on; \second to \fourth follow them.
.macro sha256_schedule first, second, third, fourth
    sha256su0 \first\().4s, \second\().4s
    sha256su1 \first\().4s, \third\().4s, \fourth\().4s
.endm

// Sixteen rounds, which leave the schedule of the next sixteen.
.macro sha256_rounds_and_schedule offset
    ldp     q6, q7, [x4, #\offset]
    sha256_rounds v6, v2
    sha256_schedule v2, v3, v4, v5
    sha256_rounds v7, v3
    sha256_schedule v3, v4, v5, v2
    ldp     q6, q7, [x4, #(\offset + 32)]
    sha256_rounds v6, v4
    sha256_schedule v4, v5, v2, v3
    sha256_rounds v7, v5
    sha256_schedule v5, v2, v3, v4
.endm

.section .text.sha256, "ax"
.global rmm_sha256
rmm_sha256:
    save_vectors x3, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8
    adrp    x4, sha256_constants
    add     x4, x4, :lo12:sha256_constants
    ld1     {v0.4s, v1.4s}, [x0]
0:  ld1     {v2.16b, v3.16b, v4.16b, v5.16b}, [x1], #64
    rev32   v2.16b, v2.16b
    rev32   v3.16b, v3.16b
    rev32   v4.16b, v4.16b
    rev32   v5.16b, v5.16b
    sha256_rounds_and_schedule 0
    sha256_rounds_and_schedule 64
    sha256_rounds_and_schedule 128
    ldp     q6, q7, [x4, #192]
    sha256_rounds v6, v2
    sha256_rounds v7, v3
    ldp     q6, q7, [x4, #224]
    sha256_rounds v6, v4
    sha256_rounds v7, v5
    ld1     {v6.4s, v7.4s}, [x0]
    add     v0.4s, v0.4s, v6.4s
    add     v1.4s, v1.4s, v7.4s
    st1     {v0.4s, v1.4s}, [x0]
    subs    x2, x2, #1
    b.ne    0b
    restore_vectors x3, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8
    ret

// First 32 bits of the fractional parts of the cube roots of the first 64 primes.
.section .rodata.sha256, "a"
.balign 16
sha256_constants:
    .word   0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5
    .word   0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5
    .word   0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3
    .word   0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174
    .word   0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc
    .word   0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da
    .word   0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7
    .word   0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967
    .word   0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13
    .word   0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85
    .word   0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3
    .word   0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070
    .word   0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5
    .word   0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3
    .word   0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208
    .word   0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
