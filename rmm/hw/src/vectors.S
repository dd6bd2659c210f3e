// Exception vectors of R-EL2.

// A frame is x0 to x30, ELR, SPSR, ESR, FAR, SP_EL0: `exception::Frame`.
.equ FRAME_SIZE, 36 * 8

.macro vector kind
    .balign 0x80
    sub     sp, sp, #FRAME_SIZE
    stp     x0, x1, [sp, #16 * 0]
    mov     x1, #\kind
    b       save_frame
.endm

.macro from_realm kind
    .balign 0x80
    stp     x0, x1, [sp, #-16]!
    mov     x1, #\kind
    b       rmm_leave_realm
.endm

.section .text.vectors, "ax"
.balign 0x800
.global exception_vectors
exception_vectors:
    // From this level on SP_EL0: the RMM itself.
    vector 0
    vector 1
    vector 2
    vector 3
    // From this level on SP_EL2: a fault while a fault was handled.
    vector 4
    vector 5
    vector 6
    vector 7
    // From below, AArch64, then AArch32: a Realm, whose `rmm_run` goes on.
    from_realm 0
    from_realm 1
    from_realm 2
    from_realm 3
    from_realm 0
    from_realm 1
    from_realm 2
    from_realm 3

save_frame:
    stp     x2, x3, [sp, #16 * 1]
    stp     x4, x5, [sp, #16 * 2]
    stp     x6, x7, [sp, #16 * 3]
    stp     x8, x9, [sp, #16 * 4]
    stp     x10, x11, [sp, #16 * 5]
    stp     x12, x13, [sp, #16 * 6]
    stp     x14, x15, [sp, #16 * 7]
    stp     x16, x17, [sp, #16 * 8]
    stp     x18, x19, [sp, #16 * 9]
    stp     x20, x21, [sp, #16 * 10]
    stp     x22, x23, [sp, #16 * 11]
    stp     x24, x25, [sp, #16 * 12]
    stp     x26, x27, [sp, #16 * 13]
    stp     x28, x29, [sp, #16 * 14]
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    mrs     x4, esr_el2
    mrs     x5, far_el2
    mrs     x6, sp_el0
    stp     x30, x2, [sp, #16 * 15]
    stp     x3, x4, [sp, #16 * 16]
    stp     x5, x6, [sp, #16 * 17]
    // A function may save these on the stack, which is not where what they hold should stay.
    mov     x19, xzr
    mov     x20, xzr
    mov     x21, xzr
    mov     x22, xzr
    mov     x23, xzr
    mov     x24, xzr
    mov     x25, xzr
    mov     x26, xzr
    mov     x27, xzr
    mov     x28, xzr
    mov     x29, xzr
    mov     x0, sp
    bl      rmm_exception
    // Only an expected fault comes back. The handler has set where to go on; SP_EL0 is untouched.
    ldp     x30, x2, [sp, #16 * 15]
    msr     elr_el2, x2
    ldr     x3, [sp, #16 * 16]
    msr     spsr_el2, x3
    ldp     x2, x3, [sp, #16 * 1]
    ldp     x4, x5, [sp, #16 * 2]
    ldp     x6, x7, [sp, #16 * 3]
    ldp     x8, x9, [sp, #16 * 4]
    ldp     x10, x11, [sp, #16 * 5]
    ldp     x12, x13, [sp, #16 * 6]
    ldp     x14, x15, [sp, #16 * 7]
    ldp     x16, x17, [sp, #16 * 8]
    ldp     x18, x19, [sp, #16 * 9]
    ldp     x20, x21, [sp, #16 * 10]
    ldp     x22, x23, [sp, #16 * 11]
    ldp     x24, x25, [sp, #16 * 12]
    ldp     x26, x27, [sp, #16 * 13]
    ldp     x28, x29, [sp, #16 * 14]
    ldp     x0, x1, [sp, #16 * 0]
    add     sp, sp, #FRAME_SIZE
    eret
