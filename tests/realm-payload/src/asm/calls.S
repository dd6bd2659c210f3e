// One instruction with all general-purpose registers under control.

.arch armv8.7-a+sve

.macro save_callee_saved
    stp     x29, x30, [sp, #-112]!
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    str     x0, [sp, #96]
.endm

.macro restore_callee_saved
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp], #112
    ret
.endm

// Loads all registers from x0, which comes last.
.macro load_registers
    ldr     x30, [x0, #240]
    ldp     x28, x29, [x0, #224]
    ldp     x26, x27, [x0, #208]
    ldp     x24, x25, [x0, #192]
    ldp     x22, x23, [x0, #176]
    ldp     x20, x21, [x0, #160]
    ldp     x18, x19, [x0, #144]
    ldp     x16, x17, [x0, #128]
    ldp     x14, x15, [x0, #112]
    ldp     x12, x13, [x0, #96]
    ldp     x10, x11, [x0, #80]
    ldp     x8, x9, [x0, #64]
    ldp     x6, x7, [x0, #48]
    ldp     x4, x5, [x0, #32]
    ldp     x2, x3, [x0, #16]
    ldp     x0, x1, [x0]
.endm

// Stores all registers to where `save_callee_saved` found them, and leaves that address in x0.
.macro store_registers
    stp     x0, x1, [sp, #-16]!
    ldr     x0, [sp, #112]
    stp     x2, x3, [x0, #16]
    stp     x4, x5, [x0, #32]
    stp     x6, x7, [x0, #48]
    stp     x8, x9, [x0, #64]
    stp     x10, x11, [x0, #80]
    stp     x12, x13, [x0, #96]
    stp     x14, x15, [x0, #112]
    stp     x16, x17, [x0, #128]
    stp     x18, x19, [x0, #144]
    stp     x20, x21, [x0, #160]
    stp     x22, x23, [x0, #176]
    stp     x24, x25, [x0, #192]
    stp     x26, x27, [x0, #208]
    stp     x28, x29, [x0, #224]
    str     x30, [x0, #240]
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x0]
.endm

// x0 = address of 31 doublewords, in and out
.macro with_registers name, instruction:vararg
.global \name
\name:
    save_callee_saved
    load_registers
    \instruction
    store_registers
    restore_callee_saved
.endm

// The same with condition flags and vector registers behind the 31 doublewords.
.macro with_everything name, instruction:vararg
.global \name
\name:
    save_callee_saved
    add     x1, x0, #256
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    ldr     q\n, [x1, #(16 * \n)]
    .endr
    ldr     x1, [x0, #248]
    msr     nzcv, x1
    load_registers
    \instruction
    store_registers
    mrs     x1, nzcv
    str     x1, [x0, #248]
    add     x1, x0, #256
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    str     q\n, [x1, #(16 * \n)]
    .endr
    restore_callee_saved
.endm

.section .text.calls, "ax"

with_registers smc_with_registers, smc #0
with_registers hvc_with_registers, hvc #0

with_everything canary_wfi, wfi
with_everything canary_load, ldr x2, [x1]
with_everything canary_store, str x2, [x1]
with_everything canary_smc, smc #0
with_everything canary_sgi, msr S3_0_C12_C11_5, x2

// x0 = a value of CNTVCT_EL0
.global wait_for_interrupt_until
wait_for_interrupt_until:
    wfit    x0
    ret
.global wait_for_event_until
wait_for_event_until:
    sevl
    wfe
    wfet    x0
    ret

// What lies between two reads of the counter. x0 = address of 18 doublewords, in and out → ticks
.global time_smc
time_smc:
    stp     x19, x20, [sp, #-32]!
    str     x0, [sp, #16]
    ldp     x16, x17, [x0, #128]
    ldp     x14, x15, [x0, #112]
    ldp     x12, x13, [x0, #96]
    ldp     x10, x11, [x0, #80]
    ldp     x8, x9, [x0, #64]
    ldp     x6, x7, [x0, #48]
    ldp     x4, x5, [x0, #32]
    ldp     x2, x3, [x0, #16]
    ldp     x0, x1, [x0]
    mrs     x19, cntvct_el0
    smc     #0
    mrs     x20, cntvct_el0
    stp     x0, x1, [sp, #-16]!
    ldr     x0, [sp, #32]
    stp     x2, x3, [x0, #16]
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x0]
    sub     x0, x20, x19
    ldp     x19, x20, [sp], #32
    ret

// x0 = address, for a load → x0 = ticks
.macro timed name, instruction:vararg
.global \name
\name:
    mrs     x1, cntvct_el0
    \instruction
    mrs     x3, cntvct_el0
    sub     x0, x3, x1
    ret
.endm

timed time_nothing
timed time_id_register, mrs x2, id_aa64pfr0_el1
timed time_load, ldr x2, [x0]
