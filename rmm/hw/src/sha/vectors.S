// Vector registers on the stack and back, whole: with SVE, an instruction that writes the lower
// 128 bits of a register clears those above.

.arch_extension simd
.arch_extension sve

// \sve: a register, not zero with SVE. \count: how many registers \numbers names, from 0 on.
.macro save_vectors sve, count, numbers:vararg
    cbz     \sve, 2f
    addvl   sp, sp, #-\count
    .irp    number, \numbers
    str     z\number, [sp, #\number, mul vl]
    .endr
    b       3f
2:  sub     sp, sp, #(16 * \count)
    .irp    number, \numbers
    str     q\number, [sp, #(16 * \number)]
    .endr
3:
.endm

.macro restore_vectors sve, count, numbers:vararg
    cbz     \sve, 2f
    .irp    number, \numbers
    ldr     z\number, [sp, #\number, mul vl]
    .endr
    addvl   sp, sp, #\count
    b       3f
2:  .irp    number, \numbers
    ldr     q\number, [sp, #(16 * \number)]
    .endr
    add     sp, sp, #(16 * \count)
3:
.endm
