// Exceptions to EL1, and calls that an exception ends.

.set FRAME, 288

.macro vector offset
    .balign 0x80
    sub     sp, sp, #FRAME
    stp     x0, x1, [sp]
    mov     x1, #\offset
    b       save_and_call
.endm

.section .text.vectors, "ax"
.balign 0x800
.global vectors
vectors:
    .set    entry, 0
    .rept   16
    vector  entry
    .set    entry, entry + 0x80
    .endr

save_and_call:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x2, elr_el1
    stp     x30, x2, [sp, #240]
    mrs     x2, spsr_el1
    mrs     x3, esr_el1
    stp     x2, x3, [sp, #256]
    mrs     x2, far_el1
    str     x2, [sp, #272]
    mov     x0, sp
    bl      exception
    cbnz    x0, leave
    ldp     x2, x3, [sp, #248]
    msr     elr_el1, x2
    msr     spsr_el1, x3
    ldp     x0, x1, [sp]
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    ldr     x30, [sp, #240]
    add     sp, sp, #FRAME
    eret

// x0 = function, x1 = its argument, x2 = where to keep 13 doublewords
// → x0 = 0 when the function has returned, 1 when an exception has ended it
.global call_guarded
call_guarded:
    stp     x19, x20, [x2]
    stp     x21, x22, [x2, #16]
    stp     x23, x24, [x2, #32]
    stp     x25, x26, [x2, #48]
    stp     x27, x28, [x2, #64]
    stp     x29, x30, [x2, #80]
    mov     x3, sp
    str     x3, [x2, #96]
    mov     x3, x0
    mov     x0, x1
    stp     x29, x30, [sp, #-16]!
    blr     x3
    ldp     x29, x30, [sp], #16
    mov     x0, #0
    ret

// Out of an exception to behind `call_guarded`. x0 = where the doublewords are kept
leave:
    ldp     x19, x20, [x0]
    ldp     x21, x22, [x0, #16]
    ldp     x23, x24, [x0, #32]
    ldp     x25, x26, [x0, #48]
    ldp     x27, x28, [x0, #64]
    ldp     x29, x30, [x0, #80]
    ldr     x3, [x0, #96]
    mov     sp, x3
    mov     x0, #1
    ret
