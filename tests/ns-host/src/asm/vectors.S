// Exceptions at EL2: saves what Rust may change, calls it, and returns to where it says.

.set FRAME, 288
.set OVERFLOW_STACK, 4096

.macro vector number
    .balign 0x80
    sub     sp, sp, #FRAME
    // Bit 19 of an address is one in a stack and zero in the gap below it.
    add     sp, sp, x0
    sub     x0, sp, x0
    tbz     x0, #19, stack_overflow
    sub     x0, sp, x0
    sub     sp, sp, x0
    stp     x0, x1, [sp]
    mov     x1, #\number
    b       save_and_call
.endm

.section .text.vectors, "ax"
.balign 0x800
.global vectors
vectors:
    .set    entry, 0
    .rept   16
    vector  entry
    .set    entry, entry + 1
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
    mrs     x2, elr_el2
    stp     x30, x2, [sp, #240]
    mrs     x2, spsr_el2
    mrs     x3, esr_el2
    stp     x2, x3, [sp, #256]
    mrs     x2, far_el2
    str     x2, [sp, #272]
    mov     x0, sp
    bl      exception
    ldp     x2, x3, [sp, #248]
    msr     elr_el2, x2
    msr     spsr_el2, x3
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

// Not to be returned from. CPUs that overflow at the same time share the stack; the first one
// ends the program.
stack_overflow:
    ldr     x0, =overflow_stack + OVERFLOW_STACK
    mov     sp, x0
    mrs     x0, elr_el2
    mrs     x1, far_el2
    bl      stack_overflowed
1:  wfi
    b       1b

.section .bss.overflow_stack, "aw", %nobits
.balign 16
overflow_stack: .skip OVERFLOW_STACK
