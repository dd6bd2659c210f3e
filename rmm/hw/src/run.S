// Into a Realm and back. `exception::run` calls it; `vectors.S` comes back to it.

// Exception rmm_run(u64 *registers): X0 to X30 and SP_EL0 of the REC are at `registers`, its PC and
// PSTATE in ELR_EL2 and SPSR_EL2. Returns the kind of the exception in X0 and ESR_EL2 in X1.
.section .text.run, "ax"
.global rmm_run
rmm_run:
    stp     x19, x20, [sp, #-96]!
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    // SP_EL0 is the Realm's from here on. The RMM's is on the stack of exceptions.
    // Nothing that went wrong before may make this a way into EL2.
    mrs     x1, spsr_el2
    tbnz    x1, #3, 1f
    mov     x1, sp
    msr     spsel, #1
    stp     x0, x1, [sp, #-16]!
    ldp     x30, x1, [x0, #8 * 30]
    msr     sp_el0, x1
    ldp     x2, x3, [x0, #8 * 2]
    ldp     x4, x5, [x0, #8 * 4]
    ldp     x6, x7, [x0, #8 * 6]
    ldp     x8, x9, [x0, #8 * 8]
    ldp     x10, x11, [x0, #8 * 10]
    ldp     x12, x13, [x0, #8 * 12]
    ldp     x14, x15, [x0, #8 * 14]
    ldp     x16, x17, [x0, #8 * 16]
    ldp     x18, x19, [x0, #8 * 18]
    ldp     x20, x21, [x0, #8 * 20]
    ldp     x22, x23, [x0, #8 * 22]
    ldp     x24, x25, [x0, #8 * 24]
    ldp     x26, x27, [x0, #8 * 26]
    ldp     x28, x29, [x0, #8 * 28]
    ldp     x0, x1, [x0]
    eret
    // Nothing is executed beyond an ERET, not even speculatively.
    dsb     nsh
    isb

1:  brk     #1

// From the vectors: X0 and X1 of the Realm are on the stack, X1 is the kind.
.global rmm_leave_realm
rmm_leave_realm:
    ldr     x0, [sp, #16]
    stp     x2, x3, [x0, #8 * 2]
    stp     x4, x5, [x0, #8 * 4]
    stp     x6, x7, [x0, #8 * 6]
    stp     x8, x9, [x0, #8 * 8]
    stp     x10, x11, [x0, #8 * 10]
    stp     x12, x13, [x0, #8 * 12]
    stp     x14, x15, [x0, #8 * 14]
    stp     x16, x17, [x0, #8 * 16]
    stp     x18, x19, [x0, #8 * 18]
    stp     x20, x21, [x0, #8 * 20]
    stp     x22, x23, [x0, #8 * 22]
    stp     x24, x25, [x0, #8 * 24]
    stp     x26, x27, [x0, #8 * 26]
    stp     x28, x29, [x0, #8 * 28]
    mrs     x4, sp_el0
    stp     x30, x4, [x0, #8 * 30]
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x0]
    ldp     x2, x3, [sp], #16
    mov     x0, x1
    mrs     x1, esr_el2
    msr     spsel, #0
    mov     sp, x3
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    ldp     x19, x20, [sp], #96
    ret
