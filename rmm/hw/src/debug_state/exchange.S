// The debug registers of EL1: what the CPU has goes to one place and comes from another.
//
// u64 rmm_exchange_debug(u64 *save, const u64 *load, u64 breakpoints, u64 watchpoints)
//
// Both counts are at most 16. Returns all saved control registers, one ORed to the other.

// Instruction bytes of one of the blocks below, for the way into the middle of them.
.equ COMPARATOR_CODE, 9 * 4

.macro exchange_comparator value, control, value_offset, control_offset
    mrs     x10, \value
    mrs     x11, \control
    ldr     x12, [x1, #\value_offset]
    ldr     x13, [x1, #\control_offset]
    str     x10, [x0, #\value_offset]
    str     x11, [x0, #\control_offset]
    msr     \value, x12
    msr     \control, x13
    orr     x8, x8, x11
.endm

.section .text.debug_state, "ax"
.global rmm_exchange_debug
rmm_exchange_debug:
    mov     x8, xzr
    mov     x14, #COMPARATOR_CODE
    adr     x9, 1f
    msub    x9, x2, x14, x9
    br      x9
0:  .irp    n, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0
    exchange_comparator dbgbvr\n\()_el1, dbgbcr\n\()_el1, ({BREAKPOINT_VALUE} + 8 * \n), ({BREAKPOINT_CONTROL} + 8 * \n)
    // Larger blocks are an error here, smaller ones are filled with undefined instructions.
    .org    0b + (16 - \n) * COMPARATOR_CODE
    .endr
1:
    adr     x9, 3f
    msub    x9, x3, x14, x9
    br      x9
2:  .irp    n, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0
    exchange_comparator dbgwvr\n\()_el1, dbgwcr\n\()_el1, ({WATCHPOINT_VALUE} + 8 * \n), ({WATCHPOINT_CONTROL} + 8 * \n)
    // Larger blocks are an error here, smaller ones are filled with undefined instructions.
    .org    2b + (16 - \n) * COMPARATOR_CODE
    .endr
3:
    mrs     x10, mdccint_el1
    mrs     x11, dbgclaimclr_el1        // reads as the tags that are set
    ldr     x12, [x1, #{CHANNEL_INTERRUPTS}]
    ldr     x13, [x1, #{CLAIM_TAGS}]
    str     x10, [x0, #{CHANNEL_INTERRUPTS}]
    str     x11, [x0, #{CLAIM_TAGS}]
    msr     mdccint_el1, x12
    msr     dbgclaimclr_el1, x11
    msr     dbgclaimset_el1, x13
    mov     x0, x8
    ret
