// The system registers of EL1 and EL0, in the order of `rec::layout::SystemRegister`. With HCR_EL2.E2H
// set, those that EL2 has under the same name are reached by their `_EL12` and `_EL02` encodings.

.macro exchange offset, first, second
    mrs     x3, \first
    mrs     x4, \second
    ldp     x5, x6, [x1, #8 * (\offset)]
    stp     x3, x4, [x0, #8 * (\offset)]
    msr     \first, x5
    msr     \second, x6
.endm

// void rmm_exchange_system(u64 *save, const u64 *load, u64 features): what the CPU has is saved, and
// what was saved before is loaded. Bit 0 of `features`: pointer authentication, bit 1: RAS.
.section .text.exchange_system, "ax"
.global rmm_exchange_system
rmm_exchange_system:
    exchange 0, sp_el1, s3_5_c4_c0_1 // SP_EL1, ELR_EL1
    exchange 2, s3_5_c4_c0_0, s3_5_c1_c0_0 // SPSR_EL1, SCTLR_EL1
    exchange 4, actlr_el1, s3_5_c1_c0_2 // ACTLR_EL1, CPACR_EL1
    exchange 6, s3_5_c2_c0_0, s3_5_c2_c0_1 // TTBR0_EL1, TTBR1_EL1
    exchange 8, s3_5_c2_c0_2, s3_5_c5_c2_0 // TCR_EL1, ESR_EL1
    exchange 10, s3_5_c5_c1_0, s3_5_c5_c1_1 // AFSR0_EL1, AFSR1_EL1
    exchange 12, s3_5_c6_c0_0, s3_5_c10_c2_0 // FAR_EL1, MAIR_EL1
    exchange 14, s3_5_c10_c3_0, s3_5_c12_c0_0 // AMAIR_EL1, VBAR_EL1
    exchange 16, s3_5_c13_c0_1, tpidr_el1 // CONTEXTIDR_EL1, TPIDR_EL1
    exchange 18, tpidr_el0, tpidrro_el0 // TPIDR_EL0, TPIDRRO_EL0
    exchange 20, csselr_el1, par_el1 // CSSELR_EL1, PAR_EL1
    exchange 22, mdscr_el1, s3_5_c14_c1_0 // MDSCR_EL1, CNTKCTL_EL1
    exchange 24, s3_5_c14_c3_2, s3_5_c14_c3_1 // CNTV_CVAL_EL0, CNTV_CTL_EL0
    exchange 26, s3_5_c14_c2_2, s3_5_c14_c2_1 // CNTP_CVAL_EL0, CNTP_CTL_EL0
    tbz     x2, #0, 1f
    exchange 28, s3_0_c2_c1_0, s3_0_c2_c1_1 // APIAKeyLo_EL1, APIAKeyHi_EL1
    exchange 30, s3_0_c2_c1_2, s3_0_c2_c1_3 // APIBKeyLo_EL1, APIBKeyHi_EL1
    exchange 32, s3_0_c2_c2_0, s3_0_c2_c2_1 // APDAKeyLo_EL1, APDAKeyHi_EL1
    exchange 34, s3_0_c2_c2_2, s3_0_c2_c2_3 // APDBKeyLo_EL1, APDBKeyHi_EL1
    exchange 36, s3_0_c2_c3_0, s3_0_c2_c3_1 // APGAKeyLo_EL1, APGAKeyHi_EL1
1:  tbz     x2, #1, 2f
    mrs     x3, s3_4_c12_c1_1 // VDISR_EL2
    ldr     x4, [x1, #8 * 38]
    str     x3, [x0, #8 * 38]
    msr     s3_4_c12_c1_1, x4
2:  ret
