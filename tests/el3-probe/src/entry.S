// Entry at R-EL2, MMU off, at whatever address the image was loaded to.

.section .text.header, "ax"
.global header
header:
    b       start                       // ImageHeader of the rmm-abi crate
    nop
    .ascii  "CLSTRRMM"
    .long   {LOWEST}
    .long   {HIGHEST}
    .quad   IMAGE_MEMORY                // no relocation: the image is linked at zero
    .quad   0
    .long   0
    .long   0

start:
    mov     x19, x0
    mov     x20, x1
    mov     x21, x2
    mov     x22, x3
    mov     x23, x4
    // R_AARCH64_RELATIVE: at base + offset goes base + addend.
    adr     x5, header
    adrp    x6, RELOCATIONS_START
    add     x6, x6, :lo12:RELOCATIONS_START
    adrp    x7, RELOCATIONS_END
    add     x7, x7, :lo12:RELOCATIONS_END
1:  cmp     x6, x7
    b.hs    2f
    ldp     x8, x9, [x6], #16
    ldr     x10, [x6], #8
    cmp     w9, #1027
    b.ne    1b
    add     x10, x10, x5
    str     x10, [x5, x8]
    b       1b
2:  adrp    x6, BSS_START
    add     x6, x6, :lo12:BSS_START
    adrp    x7, BSS_END
    add     x7, x7, :lo12:BSS_END
3:  stp     xzr, xzr, [x6], #16
    cmp     x6, x7
    b.lo    3b
    adrp    x6, vectors
    add     x6, x6, :lo12:vectors
    msr     vbar_el2, x6
    adrp    x6, STACK_END
    add     x6, x6, :lo12:STACK_END
    isb
    mov     sp, x6
    mov     x0, x19
    mov     x1, x20
    mov     x2, x21
    mov     x3, x22
    mov     x4, x23
    bl      {main}

.section .text.vectors, "ax"

.macro vector
    .balign 0x80
.endm

// Keeps everything that a function call may clobber, asks Rust what to do.
.balign 0x800
.global vectors
vectors:
vector
    mov     x0, #0
    b       {unexpected}
vector
    mov     x0, #1
    b       {unexpected}
vector
    mov     x0, #2
    b       {unexpected}
vector
    mov     x0, #3
    b       {unexpected}
vector
    b       synchronous
vector
    mov     x0, #5
    b       {unexpected}
vector
    mov     x0, #6
    b       {unexpected}
vector
    mov     x0, #7
    b       {unexpected}
.rept 8
vector
    mov     x0, #8
    b       {unexpected}
.endr

synchronous:
    stp     x0, x1, [sp, #-0xa0]!
    stp     x2, x3, [sp, #0x10]
    stp     x4, x5, [sp, #0x20]
    stp     x6, x7, [sp, #0x30]
    stp     x8, x9, [sp, #0x40]
    stp     x10, x11, [sp, #0x50]
    stp     x12, x13, [sp, #0x60]
    stp     x14, x15, [sp, #0x70]
    stp     x16, x17, [sp, #0x80]
    stp     x18, x30, [sp, #0x90]
    bl      {synchronous_exception}
    ldp     x2, x3, [sp, #0x10]
    ldp     x4, x5, [sp, #0x20]
    ldp     x6, x7, [sp, #0x30]
    ldp     x8, x9, [sp, #0x40]
    ldp     x10, x11, [sp, #0x50]
    ldp     x12, x13, [sp, #0x60]
    ldp     x14, x15, [sp, #0x70]
    ldp     x16, x17, [sp, #0x80]
    ldp     x18, x30, [sp, #0x90]
    ldp     x0, x1, [sp], #0xa0
    eret

// fn call_with_all_registers(before: &[u64; 31], after: &mut [u64; 31]): an SMC with X0 to X30
// from the one, and what they are afterwards into the other.
.section .text.call, "ax"
.global call_with_all_registers
call_with_all_registers:
    stp     x29, x30, [sp, #-0x70]!
    stp     x19, x20, [sp, #0x10]
    stp     x21, x22, [sp, #0x20]
    stp     x23, x24, [sp, #0x30]
    stp     x25, x26, [sp, #0x40]
    stp     x27, x28, [sp, #0x50]
    str     x1, [sp, #0x60]
    mov     x30, x0
    ldp     x0, x1, [x30]
    ldp     x2, x3, [x30, #0x10]
    ldp     x4, x5, [x30, #0x20]
    ldp     x6, x7, [x30, #0x30]
    ldp     x8, x9, [x30, #0x40]
    ldp     x10, x11, [x30, #0x50]
    ldp     x12, x13, [x30, #0x60]
    ldp     x14, x15, [x30, #0x70]
    ldp     x16, x17, [x30, #0x80]
    ldp     x18, x19, [x30, #0x90]
    ldp     x20, x21, [x30, #0xa0]
    ldp     x22, x23, [x30, #0xb0]
    ldp     x24, x25, [x30, #0xc0]
    ldp     x26, x27, [x30, #0xd0]
    ldp     x28, x29, [x30, #0xe0]
    ldr     x30, [x30, #0xf0]
    smc     #0
    str     x30, [sp, #0x68]
    ldr     x30, [sp, #0x60]
    stp     x0, x1, [x30]
    stp     x2, x3, [x30, #0x10]
    stp     x4, x5, [x30, #0x20]
    stp     x6, x7, [x30, #0x30]
    stp     x8, x9, [x30, #0x40]
    stp     x10, x11, [x30, #0x50]
    stp     x12, x13, [x30, #0x60]
    stp     x14, x15, [x30, #0x70]
    stp     x16, x17, [x30, #0x80]
    stp     x18, x19, [x30, #0x90]
    stp     x20, x21, [x30, #0xa0]
    stp     x22, x23, [x30, #0xb0]
    stp     x24, x25, [x30, #0xc0]
    stp     x26, x27, [x30, #0xd0]
    stp     x28, x29, [x30, #0xe0]
    ldr     x0, [sp, #0x68]
    str     x0, [x30, #0xf0]
    ldp     x19, x20, [sp, #0x10]
    ldp     x21, x22, [sp, #0x20]
    ldp     x23, x24, [sp, #0x30]
    ldp     x25, x26, [sp, #0x40]
    ldp     x27, x28, [sp, #0x50]
    ldp     x29, x30, [sp], #0x70
    ret
