// Exceptions from lower levels and the world switch.
//
// While a world runs, SP_EL3 points at its context (context.rs) and the stack below is empty.

// Two registers at a time between the CPU and a context in x8.
.macro save offset, first, second
    mrs     x9, \first
    mrs     x10, \second
    stp     x9, x10, [x8, #(\offset)]
.endm

.macro load offset, first, second
    ldp     x9, x10, [x8, #(\offset)]
    msr     \first, x9
    msr     \second, x10
.endm

.macro save_one offset, register
    mrs     x9, \register
    str     x9, [x8, #(\offset)]
.endm

.macro load_one offset, register
    ldr     x9, [x8, #(\offset)]
    msr     \register, x9
.endm

// The registers that a world switch keeps. `pair` and `one` are `save`/`load` and `save_one`/
// `load_one`. Registers that assemblers may not know by name are in the encoded form.
.macro el2_registers pair, one
    ldr     x11, [x8, #{FEATURES}]
    add     x8, x8, #{BASE}
    \pair   0x00, sp_el0, sp_el2
    \pair   0x10, elr_el2, spsr_el2
    \pair   0x20, esr_el2, far_el2
    \pair   0x30, hcr_el2, sctlr_el2
    \pair   0x40, ttbr0_el2, tcr_el2
    \pair   0x50, mair_el2, amair_el2
    \pair   0x60, vbar_el2, tpidr_el2
    \pair   0x70, vttbr_el2, vtcr_el2
    \pair   0x80, cptr_el2, mdcr_el2
    \pair   0x90, hstr_el2, hacr_el2
    \pair   0xa0, hpfar_el2, actlr_el2
    \pair   0xb0, cnthctl_el2, cntvoff_el2
    \pair   0xc0, vpidr_el2, vmpidr_el2
    \pair   0xd0, afsr0_el2, afsr1_el2
    \pair   0xe0, s3_4_c12_c9_5, s3_4_c12_c11_0 // ICC_SRE_EL2, ICH_HCR_EL2
    \one    0xf0, s3_4_c12_c11_7                // ICH_VMCR_EL2
    add     x8, x8, #({BY_FEATURE} - {BASE})
    tbz     x11, #{PAUTH}, 1f
    // APIA, APIB, APDA, APDB, APGA keys
    \pair   0x00, s3_0_c2_c1_0, s3_0_c2_c1_1
    \pair   0x10, s3_0_c2_c1_2, s3_0_c2_c1_3
    \pair   0x20, s3_0_c2_c2_0, s3_0_c2_c2_1
    \pair   0x30, s3_0_c2_c2_2, s3_0_c2_c2_3
    \pair   0x40, s3_0_c2_c3_0, s3_0_c2_c3_1
1:  tbz     x11, #{VHE}, 1f
    \pair   0x50, s3_4_c2_c0_1, s3_4_c13_c0_1   // TTBR1_EL2, CONTEXTIDR_EL2
1:  tbz     x11, #{FGT}, 1f
    \pair   0x60, s3_4_c1_c1_4, s3_4_c1_c1_5    // HFGRTR_EL2, HFGWTR_EL2
    \pair   0x70, s3_4_c3_c1_4, s3_4_c3_c1_5    // HDFGRTR_EL2, HDFGWTR_EL2
    \one    0x80, s3_4_c1_c1_6                  // HFGITR_EL2
    tbz     x11, #{AMU}, 1f
    \one    0x88, s3_4_c3_c1_6                  // HAFGRTR_EL2
1:  tbz     x11, #{HCX}, 1f
    \one    0x90, s3_4_c1_c2_2                  // HCRX_EL2
1:  tbz     x11, #{ECV}, 1f
    \one    0x98, s3_4_c14_c0_6                 // CNTPOFF_EL2
1:  tbz     x11, #{RAS}, 1f
    \pair   0xa0, s3_4_c12_c1_1, s3_4_c5_c2_3   // VDISR_EL2, VSESR_EL2
1:  tbz     x11, #{CSV2}, 1f
    \one    0xb0, s3_4_c13_c0_7                 // SCXTNUM_EL2
1:  tbz     x11, #{NV2}, 1f
    \one    0xb8, s3_4_c2_c2_0                  // VNCR_EL2
1:  lsr     x9, x11, #{RARE}
    cbz     x9, 2f
    tbz     x11, #{MTE}, 1f
    \one    0xc0, s3_4_c5_c6_0                  // TFSR_EL2
1:  tbz     x11, #{TRF}, 1f
    \one    0xc8, s3_4_c1_c2_1                  // TRFCR_EL2
1:  tbz     x11, #{FGT2}, 1f
    \pair   0xd0, s3_4_c3_c1_2, s3_4_c3_c1_3    // HFGRTR2_EL2, HFGWTR2_EL2
    \pair   0xe0, s3_4_c3_c1_0, s3_4_c3_c1_1    // HDFGRTR2_EL2, HDFGWTR2_EL2
    \one    0xf0, s3_4_c3_c1_7                  // HFGITR2_EL2
1:  tbz     x11, #{TCR2}, 1f
    \one    0xf8, s3_4_c2_c0_3                  // TCR2_EL2
1:  tbz     x11, #{S1PIE}, 1f
    \pair   0x100, s3_4_c10_c2_2, s3_4_c10_c2_3 // PIRE0_EL2, PIR_EL2
1:  tbz     x11, #{S2PIE}, 1f
    \one    0x110, s3_4_c10_c2_5                // S2PIR_EL2
1:  tbz     x11, #{POE}, 1f
    \one    0x118, s3_4_c10_c2_4                // POR_EL2
1:  tbz     x11, #{GCS}, 1f
    \pair   0x120, s3_4_c2_c5_0, s3_4_c2_c5_1   // GCSCR_EL2, GCSPR_EL2
1:  tbz     x11, #{SCTLR2}, 1f
    \one    0x130, s3_4_c1_c0_3                 // SCTLR2_EL2
1:  tbz     x11, #{MPAM}, 1f
    \one    0x138, s3_4_c10_c5_0                // MPAM2_EL2
    mrs     x9, s3_0_c10_c4_4                   // MPAMIDR_EL1
    tbz     x9, #17, 1f                         // HAS_HCR
    \pair   0x140, s3_4_c10_c4_0, s3_4_c10_c4_1 // MPAMHCR_EL2, MPAMVPMV_EL2
    \one    0x150, s3_4_c10_c6_0                // MPAMVPM0_EL2
    // MPAMVPM1_EL2 and up are there as VPMR_MAX, bits 20:18, says.
    mrs     x12, s3_0_c10_c4_4
    ubfx    x12, x12, #18, #3
    cbz     x12, 1f
    \one    0x158, s3_4_c10_c6_1
    cmp     x12, #2
    b.lo    1f
    \one    0x160, s3_4_c10_c6_2
    cmp     x12, #3
    b.lo    1f
    \one    0x168, s3_4_c10_c6_3
    cmp     x12, #4
    b.lo    1f
    \one    0x170, s3_4_c10_c6_4
    cmp     x12, #5
    b.lo    1f
    \one    0x178, s3_4_c10_c6_5
    cmp     x12, #6
    b.lo    1f
    \one    0x180, s3_4_c10_c6_6
    cmp     x12, #7
    b.lo    1f
    \one    0x188, s3_4_c10_c6_7
1:
2:
.endm

// Store or load a run of X registers at the context in SP.
.macro store_x first, second
    stp     x\first, x\second, [sp, #({GENERAL} + 8 * \first)]
.endm

.macro load_x first, second
    ldp     x\first, x\second, [sp, #({GENERAL} + 8 * \first)]
.endm

// What a call that EL3 answers may clobber; X16 and X17 are stored on entry.
.macro store_volatile
    store_x 0, 1
    store_x 2, 3
    store_x 4, 5
    store_x 6, 7
    store_x 8, 9
    store_x 10, 11
    store_x 12, 13
    store_x 14, 15
    store_x 18, 19
    store_x 29, 30
.endm

.macro load_volatile
    load_x  0, 1
    load_x  2, 3
    load_x  4, 5
    load_x  6, 7
    load_x  8, 9
    load_x  10, 11
    load_x  12, 13
    load_x  14, 15
    load_x  16, 17
    ldr     x18, [sp, #({GENERAL} + 8 * 18)]
    load_x  29, 30
.endm

.macro store_preserved
    store_x 19, 20
    store_x 21, 22
    store_x 23, 24
    store_x 25, 26
    store_x 27, 28
.endm

// X8 to X30 except X16 and X17.
.macro store_from_8
    store_x 8, 9
    store_x 10, 11
    store_x 12, 13
    store_x 14, 15
    store_x 18, 19
    store_x 20, 21
    store_x 22, 23
    store_x 24, 25
    store_x 26, 27
    store_x 28, 29
    str     x30, [sp, #({GENERAL} + 8 * 30)]
.endm

.macro load_from_8
    load_x  8, 9
    load_x  10, 11
    load_x  12, 13
    load_x  14, 15
    load_x  16, 17
    load_x  18, 19
    load_x  20, 21
    load_x  22, 23
    load_x  24, 25
    load_x  26, 27
    load_x  28, 29
    ldr     x30, [sp, #({GENERAL} + 8 * 30)]
.endm

// Leaves EL3; nothing is executed beyond an ERET, not even speculatively.
.macro leave
    eret
    dsb     nsh
    isb
.endm

.section .text.switch, "ax"

// The context in SP takes what the CPU has. Clobbers x8 to x12.
save_world:
    mov     x8, sp
    mrs     x9, elr_el3
    mrs     x10, spsr_el3
    stp     x9, x10, [x8, #{ELR_EL3}]
    el2_registers save, save_one
    ret

// The CPU takes what the context in SP has. Clobbers x8 to x12.
load_world:
    mov     x8, sp
    ldr     x9, [x8, #{SCR_EL3}]
    msr     scr_el3, x9
    ldp     x9, x10, [x8, #{ELR_EL3}]
    msr     elr_el3, x9
    msr     spsr_el3, x10
    el2_registers load, load_one
    ret

// A synchronous exception of a lower level.
from_lower:
    store_x 16, 17
    mrs     x16, esr_el3
    lsr     x16, x16, #26
    cmp     x16, #0x17                  // SMC of AArch64
    b.ne    trap
    mrs     x16, scr_el3
    tbnz    x16, #62, from_realm        // NSE

from_normal:
    // The RMI function identifiers, with or without the SVE hint: 0x150 to 0x18f, 0x1d0 to 0x2cf.
    // Identifiers are in W0; the upper half of X0 may hold anything.
    movz    w17, #0xc400, lsl #16
    movk    w17, #0x0150
    and     w16, w0, #0xfffeffff
    sub     w16, w16, w17
    cmp     w16, #0x40
    b.lo    forward
    sub     w16, w16, #0x80
    cmp     w16, #0x100
    b.lo    forward
normal_call:
    store_volatile
    mov     x0, sp
    bl      {handle_normal_call}
    load_volatile
    leave

// A command of the host: W0 and X1 to X7 go over to the RMM, where its last call of EL3 returns.
forward:
    mov     w0, w0
    adrp    x16, {REALM_WORLD_IS_ON}
    ldr     w16, [x16, :lo12:{REALM_WORLD_IS_ON}]
    cbz     w16, normal_call
    store_x 4, 5
    store_x 6, 7
    store_from_8
    bl      save_world
    ldr     x8, [sp, #{OTHER}]
    mov     sp, x8
    bl      load_world
    load_from_8
    leave

from_realm:
    movz    w17, #0xc400, lsl #16
    movk    w17, #0x018f                // REQUEST_COMPLETE
    cmp     w0, w17
    b.ne    realm_call
    // While it boots there is no request that could be complete.
    ldr     x16, [sp, #{BOOT_STACK}]
    cbz     x16, complete
realm_call:
    store_volatile
    mov     x0, sp
    bl      {handle_realm_call}
    cbnz    x0, boot_is_complete
    load_volatile
    leave

// The RMM is done: its X1 to X5 become the host's X0 to X4, the rest is as the host left it.
complete:
    store_from_8
    bl      save_world
    ldr     x8, [sp, #{OTHER}]
    mov     sp, x8
    bl      load_world
    mov     x0, x1
    mov     x1, x2
    mov     x2, x3
    mov     x3, x4
    mov     x4, x5
    ldr     x5, [sp, #({GENERAL} + 8 * 5)]
    load_x  6, 7
    load_from_8
    leave

// Back to the function that entered the RMM to boot it.
boot_is_complete:
    store_preserved
    bl      save_world
    ldr     x8, [sp, #{BOOT_STACK}]
    mov     sp, x8
    ldp     x19, x20, [sp]
    ldp     x21, x22, [sp, #0x10]
    ldp     x23, x24, [sp, #0x20]
    ldp     x25, x26, [sp, #0x30]
    ldp     x27, x28, [sp, #0x40]
    ldp     x29, x30, [sp, #0x50]
    add     sp, sp, #0x60
    ret

trap:
    store_volatile
    mov     x0, sp
    bl      {handle_trap}
    load_volatile
    leave

fast_interrupt:
    store_x 16, 17
    store_volatile
    bl      {handle_fast_interrupt}
    load_volatile
    leave

// fn boot_world(context: *mut Context): enters a world, returns after its BOOT_COMPLETE.
.global boot_world
boot_world:
    sub     sp, sp, #0x60
    stp     x19, x20, [sp]
    stp     x21, x22, [sp, #0x10]
    stp     x23, x24, [sp, #0x20]
    stp     x25, x26, [sp, #0x30]
    stp     x27, x28, [sp, #0x40]
    stp     x29, x30, [sp, #0x50]
    mov     x9, sp
    str     x9, [x0, #{BOOT_STACK}]
// fn enter_world(context: *mut Context) -> !
.global enter_world
enter_world:
    mov     sp, x0
    bl      load_world
    load_x  0, 1
    load_x  2, 3
    load_x  4, 5
    load_x  6, 7
    load_from_8
    leave

// fn capture_world(context: *mut Context): the context takes what the EL2 registers have.
.global capture_world
capture_world:
    mov     x13, x30
    mov     x14, sp
    mov     sp, x0
    bl      save_world
    mov     sp, x14
    ret     x13

// Something unexpected at EL3. The first CPU that comes here reports, any other stays. The stack
// may be what is wrong, so it is not used.
.macro crash number
    msr     tpidr_el3, x0
    mov     x0, #(\number + 1)
    b       report_crash
.endm

report_crash:
    msr     sp_el0, x1
    ldr     x1, ={CRASH_FRAME}
    swpa    w0, w0, [x1]
    cbz     w0, 2f
1:  wfi
    b       1b
2:  add     x1, x1, #16
    stp     x2, x3, [x1, #(8 * 2)]
    stp     x4, x5, [x1, #(8 * 4)]
    stp     x6, x7, [x1, #(8 * 6)]
    stp     x8, x9, [x1, #(8 * 8)]
    stp     x10, x11, [x1, #(8 * 10)]
    stp     x12, x13, [x1, #(8 * 12)]
    stp     x14, x15, [x1, #(8 * 14)]
    stp     x16, x17, [x1, #(8 * 16)]
    stp     x18, x19, [x1, #(8 * 18)]
    stp     x20, x21, [x1, #(8 * 20)]
    stp     x22, x23, [x1, #(8 * 22)]
    stp     x24, x25, [x1, #(8 * 24)]
    stp     x26, x27, [x1, #(8 * 26)]
    stp     x28, x29, [x1, #(8 * 28)]
    mov     x2, sp
    stp     x30, x2, [x1, #(8 * 30)]
    mrs     x2, tpidr_el3
    mrs     x3, sp_el0
    stp     x2, x3, [x1]
    ldr     x0, ={CRASH_STACK}
    ldr     x1, ={CRASH_STACK_SIZE}
    add     sp, x0, x1
    bl      {handle_crash}

.macro vector
    .balign 0x80
.endm

.section .text.vectors, "ax"
.balign 0x800
.global vectors
vectors:
    crash   0
vector
    crash   1
vector
    crash   2
vector
    crash   3
vector
    crash   4
vector
    crash   5
vector
    crash   6
vector
    crash   7
vector
    b       from_lower
vector
    crash   9
vector
    b       fast_interrupt
vector
    crash   11
vector
    b       from_lower                  // AArch32
vector
    crash   13
vector
    b       fast_interrupt
vector
    crash   15
