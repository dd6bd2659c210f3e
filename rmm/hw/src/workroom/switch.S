// To work that interrupts can put aside, and back from it. `{MAIN}` is a word of the workroom's control
// page: the stack pointer of the RMM's ordinary stack on the CPU that does the work.

.macro keep_main
    stp     x19, x20, [sp, #-96]!
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    ldr     x9, ={MAIN}
    mov     x10, sp
    str     x10, [x9]
.endm

.macro back_to_main
    ldr     x9, ={MAIN}
    ldr     x10, [x9]
    mov     sp, x10
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    ldp     x19, x20, [sp], #96
.endm

.section .text.workroom, "ax"

// u64 rmm_work_begin(void (*work)(void *), void *argument, u64 stack_end): one when the work is done,
// zero when an interrupt put it aside.
.global rmm_work_begin
rmm_work_begin:
    keep_main
    mov     sp, x2
    mov     x29, xzr
    mov     x30, xzr
    mov     x9, x0
    mov     x0, x1
    msr     daifclr, #3
    blr     x9
    msr     daifset, #3
    back_to_main
    mov     x0, #1
    ret

// u64 rmm_work_resume(u64 *frame): the same, for work that was put aside. The frame is X0 to X30, ELR,
// SPSR, two words that mean nothing here, SP_EL0.
.global rmm_work_resume
rmm_work_resume:
    keep_main
    ldp     x9, x10, [x0, #8 * 31]
    msr     elr_el2, x9
    msr     spsr_el2, x10
    ldr     x9, [x0, #8 * 35]
    mov     sp, x9
    ldr     x30, [x0, #8 * 30]
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
    dsb     nsh
    isb

// Where an interrupt leads that puts work aside. All registers are zero.
.global rmm_work_interrupted
rmm_work_interrupted:
    back_to_main
    mov     x0, #0
    ret

.ltorg
