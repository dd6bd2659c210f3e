// The performance monitor: what the CPU has goes to one place and comes from another.
//
// u64 rmm_exchange_pmu(u64 *save, const u64 *load, u64 counters)
//
// `counters` is at most 31. Returns 1 when a counter of what was saved has overflowed and
// interrupts, else 0.
//
// Nothing counts from the first instructions on to the last: values are never mixed with the
// events of another owner.

// Instruction bytes of one of the blocks below, for the way into the middle of them.
.equ COUNTER_CODE, 1 << 5

.section .text.pmu_state, "ax"
.global rmm_exchange_pmu
rmm_exchange_pmu:
    mrs     x3, pmcr_el0
    bic     x4, x3, #1                  // E
    msr     pmcr_el0, x4
    isb

    mrs     x4, pmcntenset_el0
    mrs     x5, pmintenset_el1
    mrs     x6, pmovsset_el0
    msr     pmcntenclr_el0, x4
    msr     pmintenclr_el1, x5
    msr     pmovsclr_el0, x6
    stp     x3, x4, [x0, #{CONTROL}]
    stp     x5, x6, [x0, #{INTERRUPTING}]
    and     x4, x4, x5
    tst     x4, x6
    cset    x4, ne
    and     x15, x3, x4

    mrs     x7, pmselr_el0
    mrs     x8, pmuserenr_el0
    mrs     x9, pmccntr_el0
    mrs     x10, pmccfiltr_el0
    ldp     x11, x12, [x1, #{SELECTION}]
    ldp     x13, x14, [x1, #{CYCLE_COUNT}]
    stp     x7, x8, [x0, #{SELECTION}]
    stp     x9, x10, [x0, #{CYCLE_COUNT}]
    msr     pmselr_el0, x11
    msr     pmuserenr_el0, x12
    msr     pmccfiltr_el0, x14
    msr     pmccntr_el0, x13

    adr     x9, 1f
    sub     x9, x9, x2, lsl #5         // times COUNTER_CODE
    br      x9
0:  .irp    n, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0
    mrs     x10, pmevcntr\n\()_el0
    mrs     x11, pmevtyper\n\()_el0
    ldr     x12, [x1, #({EVENT_COUNT} + 8 * \n)]
    ldr     x13, [x1, #({EVENT_TYPE} + 8 * \n)]
    str     x10, [x0, #({EVENT_COUNT} + 8 * \n)]
    str     x11, [x0, #({EVENT_TYPE} + 8 * \n)]
    msr     pmevtyper\n\()_el0, x13
    msr     pmevcntr\n\()_el0, x12
    // Larger blocks are an error here, smaller ones are filled with undefined instructions.
    .org    0b + (31 - \n) * COUNTER_CODE
    .endr
1:

    ldp     x3, x4, [x1, #{CONTROL}]
    ldp     x5, x6, [x1, #{INTERRUPTING}]
    msr     pmovsset_el0, x6
    msr     pmintenset_el1, x5
    msr     pmcntenset_el0, x4
    isb
    msr     pmcr_el0, x3
    mov     x0, x15
    ret
