// From the reset state of a REC to Rust code, and the translation tables.

.set RECS, 8
.set STACK_SHIFT, 14
// A block: valid, access flag, inner shareable, attribute 0 (write-back).
.set NORMAL_BLOCK, 0x701
.set TABLE, 0x003
.set CPU_OFF, 0x84000002

.section .head, "ax"
.global image_head
image_head:                       // `ImageHeader`
    b       primary_entry
    .word   0
    .ascii  "CLSTRPLD"
    .quad   image_file_size
    .quad   image_memory_size
    .quad   image_secondary_entry
    .skip   24

// x0 = number of the REC
primary_entry:
    mov     x20, x0
    bl      prepare_cpu
    ldr     x0, =bss_start
    ldr     x1, =bss_end
1:  cmp     x0, x1
    b.hs    2f
    stp     xzr, xzr, [x0], #16
    b       1b
2:  ldr     x21, =primary_main
    b       enter_rust

// x0 = context of CPU_ON = number of the REC
.global secondary_entry
secondary_entry:
    mov     x20, x0
    bl      prepare_cpu
    ldr     x21, =secondary_main

enter_rust:
    cmp     x20, #RECS
    b.hs    no_room
    ldr     x0, =stacks
    add     x1, x20, #1
    add     x0, x0, x1, lsl #STACK_SHIFT
    mov     sp, x0
    ldr     x0, =vectors
    msr     vbar_el1, x0
    isb
    mov     x0, x20
    mov     x29, xzr
    mov     x30, xzr
    br      x21

no_room:
    ldr     x0, =CPU_OFF
    smc     #0
    b       no_room

// Opens floating point and SVE, and turns the MMU on. The tables are filled by Rust later.
prepare_cpu:
    msr     daifset, #0xf
    msr     spsel, #1
    mov     x0, #(3 << 20 | 3 << 16)             // CPACR_EL1: FPEN, ZEN
    msr     cpacr_el1, x0
    ldr     x0, =0x4404ff                        // write-back, device nGnRE, non-cacheable
    msr     mair_el1, x0
    // 48 bits, 4 KiB pages, inner shareable write-back walks; no walks of the upper half.
    ldr     x0, =(16 | 1 << 8 | 1 << 10 | 3 << 12 | 16 << 16 | 1 << 23 | 2 << 30)
    mrs     x1, id_aa64mmfr0_el1
    and     x1, x1, #0xf
    mov     x2, #5                               // 48 bits
    cmp     x1, x2
    csel    x1, x1, x2, lo
    bfi     x0, x1, #32, #3
    msr     tcr_el1, x0
    ldr     x0, =table_level_0
    msr     ttbr0_el1, x0
    msr     mdscr_el1, xzr
    isb
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    ldr     x0, =0x30d5180d                      // M, C, SA, I and the bits that are one on reset
    msr     sctlr_el1, x0
    isb
    ret

.section .data.tables, "aw"
.balign 0x1000
.global table_level_0
table_level_0:
    .quad   table_lowest + TABLE
    .fill   511, 8, 0
// The gigabyte that the program is in. The others follow when it is known where shared memory is.
.global table_lowest
table_lowest:
    .quad   0
    .quad   0x40000000 + NORMAL_BLOCK
    .fill   510, 8, 0

.section .bss.pages, "aw", %nobits
.balign 0x1000
.global table_unprotected
table_unprotected: .skip 0x1000
.global table_beyond
table_beyond: .skip 0x1000
// A page of instructions for each REC.
.global code_pages
code_pages: .skip 0x1000 * RECS
// Routines that read and write the registers of `canary`.
.global register_routines
register_routines: .skip 0x7000
