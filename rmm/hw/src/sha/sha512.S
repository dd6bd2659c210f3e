// The compression function of SHA-512 by the CPU's instructions (FEAT_SHA512).
//
// void rmm_sha512(u64 state[8], const u8 *blocks, u64 count, u64 sve)
//
// `count` is not zero; `sve` says whether vectors are longer than 128 bits. No vector register
// changes, whatever its length.
//
// v0 to v4 = the pairs a b, c d, e f, g h and one free register, in turns; v5 to v12 = sixteen
// words of the message schedule; v13 and v14 = round constants, v15 and v16 = operands.

.arch_extension sha3

// Two rounds. Afterwards the pairs are in gh, ab, free, ef, and cd is free.
.macro sha512_rounds ab, cd, ef, gh, free, constants, words
    add     v\constants\().2d, v\constants\().2d, v\words\().2d
    ext     v\constants\().16b, v\constants\().16b, v\constants\().16b, #8
    ext     v15.16b, v\ef\().16b, v\gh\().16b, #8
    ext     v16.16b, v\cd\().16b, v\ef\().16b, #8
    add     v\gh\().2d, v\gh\().2d, v\constants\().2d
    sha512h q\gh, q15, v16.2d
    add     v\free\().2d, v\cd\().2d, v\gh\().2d
    sha512h2 q\gh, q\cd, v\ab\().2d
.endm

// Rounds 2 * index and 2 * index + 1. s0 holds their words of the schedule, s1 to s7 those that
// follow; except at the end s0 is replaced by what follows s7.
.macro sha512_step index, ab, cd, ef, gh, free, s0, s1, s2, s3, s4, s5, s6, s7
    .if (\index) % 2 == 0
    ldp     q13, q14, [x4, #(16 * (\index))]
    sha512_rounds \ab, \cd, \ef, \gh, \free, 13, \s0
    .else
    sha512_rounds \ab, \cd, \ef, \gh, \free, 14, \s0
    .endif
    .if (\index) < 32
    ext     v15.16b, v\s4\().16b, v\s5\().16b, #8
    sha512su0 v\s0\().2d, v\s1\().2d
    sha512su1 v\s0\().2d, v\s7\().2d, v15.2d
    .endif
.endm

// Ten steps: the pairs come back to the same registers, the schedule moves on by two.
.macro sha512_ten_steps index, s0, s1, s2, s3, s4, s5, s6, s7
    sha512_step \index + 0, 0, 1, 2, 3, 4, \s0, \s1, \s2, \s3, \s4, \s5, \s6, \s7
    sha512_step \index + 1, 3, 0, 4, 2, 1, \s1, \s2, \s3, \s4, \s5, \s6, \s7, \s0
    sha512_step \index + 2, 2, 3, 1, 4, 0, \s2, \s3, \s4, \s5, \s6, \s7, \s0, \s1
    sha512_step \index + 3, 4, 2, 0, 1, 3, \s3, \s4, \s5, \s6, \s7, \s0, \s1, \s2
    sha512_step \index + 4, 1, 4, 3, 0, 2, \s4, \s5, \s6, \s7, \s0, \s1, \s2, \s3
    sha512_step \index + 5, 0, 1, 2, 3, 4, \s5, \s6, \s7, \s0, \s1, \s2, \s3, \s4
    sha512_step \index + 6, 3, 0, 4, 2, 1, \s6, \s7, \s0, \s1, \s2, \s3, \s4, \s5
    sha512_step \index + 7, 2, 3, 1, 4, 0, \s7, \s0, \s1, \s2, \s3, \s4, \s5, \s6
    sha512_step \index + 8, 4, 2, 0, 1, 3, \s0, \s1, \s2, \s3, \s4, \s5, \s6, \s7
    sha512_step \index + 9, 1, 4, 3, 0, 2, \s1, \s2, \s3, \s4, \s5, \s6, \s7, \s0
.endm

.section .text.sha512, "ax"
.global rmm_sha512
rmm_sha512:
    save_vectors x3, 17, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
    adrp    x4, sha512_constants
    add     x4, x4, :lo12:sha512_constants
    ld1     {v0.2d, v1.2d, v2.2d, v3.2d}, [x0]
0:  ld1     {v5.16b, v6.16b, v7.16b, v8.16b}, [x1], #64
    ld1     {v9.16b, v10.16b, v11.16b, v12.16b}, [x1], #64
    .irp    words, 5, 6, 7, 8, 9, 10, 11, 12
    rev64   v\words\().16b, v\words\().16b
    .endr
    sha512_ten_steps 0, 5, 6, 7, 8, 9, 10, 11, 12
    sha512_ten_steps 10, 7, 8, 9, 10, 11, 12, 5, 6
    sha512_ten_steps 20, 9, 10, 11, 12, 5, 6, 7, 8
    sha512_ten_steps 30, 11, 12, 5, 6, 7, 8, 9, 10
    ld1     {v5.2d, v6.2d, v7.2d, v8.2d}, [x0]
    add     v0.2d, v0.2d, v5.2d
    add     v1.2d, v1.2d, v6.2d
    add     v2.2d, v2.2d, v7.2d
    add     v3.2d, v3.2d, v8.2d
    st1     {v0.2d, v1.2d, v2.2d, v3.2d}, [x0]
    subs    x2, x2, #1
    b.ne    0b
    restore_vectors x3, 17, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
    ret

// First 64 bits of the fractional parts of the cube roots of the first 80 primes.
.section .rodata.sha512, "a"
.balign 16
sha512_constants:
    .quad   0x428a2f98d728ae22, 0x7137449123ef65cd
    .quad   0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc
    .quad   0x3956c25bf348b538, 0x59f111f1b605d019
    .quad   0x923f82a4af194f9b, 0xab1c5ed5da6d8118
    .quad   0xd807aa98a3030242, 0x12835b0145706fbe
    .quad   0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2
    .quad   0x72be5d74f27b896f, 0x80deb1fe3b1696b1
    .quad   0x9bdc06a725c71235, 0xc19bf174cf692694
    .quad   0xe49b69c19ef14ad2, 0xefbe4786384f25e3
    .quad   0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65
    .quad   0x2de92c6f592b0275, 0x4a7484aa6ea6e483
    .quad   0x5cb0a9dcbd41fbd4, 0x76f988da831153b5
    .quad   0x983e5152ee66dfab, 0xa831c66d2db43210
    .quad   0xb00327c898fb213f, 0xbf597fc7beef0ee4
    .quad   0xc6e00bf33da88fc2, 0xd5a79147930aa725
    .quad   0x06ca6351e003826f, 0x142929670a0e6e70
    .quad   0x27b70a8546d22ffc, 0x2e1b21385c26c926
    .quad   0x4d2c6dfc5ac42aed, 0x53380d139d95b3df
    .quad   0x650a73548baf63de, 0x766a0abb3c77b2a8
    .quad   0x81c2c92e47edaee6, 0x92722c851482353b
    .quad   0xa2bfe8a14cf10364, 0xa81a664bbc423001
    .quad   0xc24b8b70d0f89791, 0xc76c51a30654be30
    .quad   0xd192e819d6ef5218, 0xd69906245565a910
    .quad   0xf40e35855771202a, 0x106aa07032bbd1b8
    .quad   0x19a4c116b8d2d0c8, 0x1e376c085141ab53
    .quad   0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8
    .quad   0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb
    .quad   0x5b9cca4f7763e373, 0x682e6ff3d6b2b8a3
    .quad   0x748f82ee5defb2fc, 0x78a5636f43172f60
    .quad   0x84c87814a1f0ab72, 0x8cc702081a6439ec
    .quad   0x90befffa23631e28, 0xa4506cebde82bde9
    .quad   0xbef9a3f7b2c67915, 0xc67178f2e372532b
    .quad   0xca273eceea26619c, 0xd186b8c721c0c207
    .quad   0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178
    .quad   0x06f067aa72176fba, 0x0a637dc5a2c898a6
    .quad   0x113f9804bef90dae, 0x1b710b35131c471b
    .quad   0x28db77f523047d84, 0x32caab7b40c72493
    .quad   0x3c9ebe0a15c9bebc, 0x431d67c49c100d4c
    .quad   0x4cc5d4becb3e42b6, 0x597f299cfc657e2a
    .quad   0x5fcb6fab3ad6faec, 0x6c44198c4a475817
