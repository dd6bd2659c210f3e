// The virtual interface of the GIC. List registers by their encodings: ICH_LR<n>_EL2.

// void rmm_load_list_registers(const u64 *from, u64 count): the last `count` entries of the table.
.section .text.list_registers, "ax"
.global rmm_load_list_registers
rmm_load_list_registers:
    adr     x2, 1f
    sub     x2, x2, x1, lsl #3
    br      x2
    ldr     x3, [x0, #8 * 15]
    msr     s3_4_c12_c13_7, x3
    ldr     x3, [x0, #8 * 14]
    msr     s3_4_c12_c13_6, x3
    ldr     x3, [x0, #8 * 13]
    msr     s3_4_c12_c13_5, x3
    ldr     x3, [x0, #8 * 12]
    msr     s3_4_c12_c13_4, x3
    ldr     x3, [x0, #8 * 11]
    msr     s3_4_c12_c13_3, x3
    ldr     x3, [x0, #8 * 10]
    msr     s3_4_c12_c13_2, x3
    ldr     x3, [x0, #8 * 9]
    msr     s3_4_c12_c13_1, x3
    ldr     x3, [x0, #8 * 8]
    msr     s3_4_c12_c13_0, x3
    ldr     x3, [x0, #8 * 7]
    msr     s3_4_c12_c12_7, x3
    ldr     x3, [x0, #8 * 6]
    msr     s3_4_c12_c12_6, x3
    ldr     x3, [x0, #8 * 5]
    msr     s3_4_c12_c12_5, x3
    ldr     x3, [x0, #8 * 4]
    msr     s3_4_c12_c12_4, x3
    ldr     x3, [x0, #8 * 3]
    msr     s3_4_c12_c12_3, x3
    ldr     x3, [x0, #8 * 2]
    msr     s3_4_c12_c12_2, x3
    ldr     x3, [x0, #8 * 1]
    msr     s3_4_c12_c12_1, x3
    ldr     x3, [x0, #8 * 0]
    msr     s3_4_c12_c12_0, x3
1:  ret

// void rmm_save_list_registers(u64 *to, u64 count): they are cleared as well.
.global rmm_save_list_registers
rmm_save_list_registers:
    adr     x2, 1f
    add     x3, x1, x1, lsl #1
    sub     x2, x2, x3, lsl #2
    br      x2
    mrs     x3, s3_4_c12_c13_7
    str     x3, [x0, #8 * 15]
    msr     s3_4_c12_c13_7, xzr
    mrs     x3, s3_4_c12_c13_6
    str     x3, [x0, #8 * 14]
    msr     s3_4_c12_c13_6, xzr
    mrs     x3, s3_4_c12_c13_5
    str     x3, [x0, #8 * 13]
    msr     s3_4_c12_c13_5, xzr
    mrs     x3, s3_4_c12_c13_4
    str     x3, [x0, #8 * 12]
    msr     s3_4_c12_c13_4, xzr
    mrs     x3, s3_4_c12_c13_3
    str     x3, [x0, #8 * 11]
    msr     s3_4_c12_c13_3, xzr
    mrs     x3, s3_4_c12_c13_2
    str     x3, [x0, #8 * 10]
    msr     s3_4_c12_c13_2, xzr
    mrs     x3, s3_4_c12_c13_1
    str     x3, [x0, #8 * 9]
    msr     s3_4_c12_c13_1, xzr
    mrs     x3, s3_4_c12_c13_0
    str     x3, [x0, #8 * 8]
    msr     s3_4_c12_c13_0, xzr
    mrs     x3, s3_4_c12_c12_7
    str     x3, [x0, #8 * 7]
    msr     s3_4_c12_c12_7, xzr
    mrs     x3, s3_4_c12_c12_6
    str     x3, [x0, #8 * 6]
    msr     s3_4_c12_c12_6, xzr
    mrs     x3, s3_4_c12_c12_5
    str     x3, [x0, #8 * 5]
    msr     s3_4_c12_c12_5, xzr
    mrs     x3, s3_4_c12_c12_4
    str     x3, [x0, #8 * 4]
    msr     s3_4_c12_c12_4, xzr
    mrs     x3, s3_4_c12_c12_3
    str     x3, [x0, #8 * 3]
    msr     s3_4_c12_c12_3, xzr
    mrs     x3, s3_4_c12_c12_2
    str     x3, [x0, #8 * 2]
    msr     s3_4_c12_c12_2, xzr
    mrs     x3, s3_4_c12_c12_1
    str     x3, [x0, #8 * 1]
    msr     s3_4_c12_c12_1, xzr
    mrs     x3, s3_4_c12_c12_0
    str     x3, [x0, #8 * 0]
    msr     s3_4_c12_c12_0, xzr
1:  ret

// Active priorities: ICH_AP0R<n>_EL2 and ICH_AP1R<n>_EL2, one, two or four of each.

// void rmm_load_active_priorities(const u64 *from, u64 count)
.global rmm_load_active_priorities
rmm_load_active_priorities:
    ldr     x2, [x0]
    ldr     x3, [x0, #8 * 4]
    msr     s3_4_c12_c8_0, x2
    msr     s3_4_c12_c9_0, x3
    cmp     x1, #2
    b.lo    1f
    ldr     x2, [x0, #8 * 1]
    ldr     x3, [x0, #8 * 5]
    msr     s3_4_c12_c8_1, x2
    msr     s3_4_c12_c9_1, x3
    b.eq    1f
    ldp     x2, x4, [x0, #8 * 2]
    ldp     x3, x5, [x0, #8 * 6]
    msr     s3_4_c12_c8_2, x2
    msr     s3_4_c12_c8_3, x4
    msr     s3_4_c12_c9_2, x3
    msr     s3_4_c12_c9_3, x5
1:  ret

// void rmm_save_active_priorities(u64 *to, u64 count): they are cleared as well.
.global rmm_save_active_priorities
rmm_save_active_priorities:
    mrs     x2, s3_4_c12_c8_0
    mrs     x3, s3_4_c12_c9_0
    str     x2, [x0]
    str     x3, [x0, #8 * 4]
    msr     s3_4_c12_c8_0, xzr
    msr     s3_4_c12_c9_0, xzr
    cmp     x1, #2
    b.lo    1f
    mrs     x2, s3_4_c12_c8_1
    mrs     x3, s3_4_c12_c9_1
    str     x2, [x0, #8 * 1]
    str     x3, [x0, #8 * 5]
    msr     s3_4_c12_c8_1, xzr
    msr     s3_4_c12_c9_1, xzr
    b.eq    1f
    mrs     x2, s3_4_c12_c8_2
    mrs     x4, s3_4_c12_c8_3
    mrs     x3, s3_4_c12_c9_2
    mrs     x5, s3_4_c12_c9_3
    stp     x2, x4, [x0, #8 * 2]
    stp     x3, x5, [x0, #8 * 6]
    msr     s3_4_c12_c8_2, xzr
    msr     s3_4_c12_c8_3, xzr
    msr     s3_4_c12_c9_2, xzr
    msr     s3_4_c12_c9_3, xzr
1:  ret
