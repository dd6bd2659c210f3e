// Reset: every CPU starts here at once, at EL3, without MMU.

.section .text.reset, "ax"
.global reset
reset:
    msr     daifset, #0xf
    ldr     x0, =vectors
    msr     vbar_el3, x0
    ldr     x0, ={SCTLR}
    msr     sctlr_el3, x0
    isb
    mrs     x0, mpidr_el1
    ldr     x1, =0xff00ffffff
    and     x0, x0, x1
    cbnz    x0, pen

    // Affinity 0 prepares the memory and boots.
    ldr     x1, =BSS_START
    ldr     x2, =BSS_END
1:  stp     xzr, xzr, [x1], #16
    cmp     x1, x2
    b.lo    1b
    ldr     x1, =DATA_START
    ldr     x2, =DATA_END
    ldr     x3, =DATA_LOAD
2:  cmp     x1, x2
    b.hs    3f
    ldp     x4, x5, [x3], #16
    stp     x4, x5, [x1], #16
    b       2b
3:  ldr     x0, ={BOOT_STACK}
    ldr     x1, ={BOOT_STACK_SIZE}
    add     sp, x0, x1
    bl      {primary_cpu}

    // The others wait until it says how CPUs are numbered: x0 is found in the list.
pen:
    ldr     x1, ={MAILBOX}
1:  wfe
    ldr     x2, [x1]
    cbz     x2, 1b
    dmb     sy
    mov     x3, #0
2:  add     x1, x1, #8
    ldr     x4, [x1]
    cmp     x4, x0
    b.eq    3f
    add     x3, x3, #1
    cmp     x3, x2
    b.lo    2b
    // No such CPU in the device tree.
4:  wfi
    b       4b
3:  mov     x0, x3
    // Its normal-world stack is the first of its two.
    ldr     x1, ={WORLD_STACKS}
    ldr     x2, =(2 * {WORLD_STACK_SIZE})
    madd    x1, x3, x2, x1
    ldr     x2, =({WORLD_STACK_SIZE} - {CONTEXT_SIZE})
    add     sp, x1, x2
    bl      {secondary_cpu}
