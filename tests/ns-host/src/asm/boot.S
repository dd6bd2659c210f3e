// From the reset state of a CPU at EL2 to Rust code at the linked address.
//
// TTBR1 maps the image at the address it is linked at, each part with its rights. TTBR0 maps the
// gigabyte around the image to itself, read-only and executable, for the instructions that turn
// the MMU on; Rust replaces it.

.arch armv8.5-a

.set PAGE_TABLE,   0x003
.set IMAGE_TABLES, 40            // of level 3, 2 MiB each
.set SLOT_INDEX,   40            // of level 2: the window of `paging.rs`
// Access flag, inner shareable, attribute 0 (write-back), and
.set ATTRIBUTES,   0x703
.set READ_EXECUTE, 0x0040000000000080    // read-only, not for EL0
.set READ,         0x0060000000000080    // read-only, never executed
.set READ_WRITE,   0x0060000000000000    // never executed

.section .head, "ax"
.global image_head
image_head:                      // the header of the arm64 boot protocol
    b       primary_entry
    .word   0
    .quad   0                    // text offset
    .quad   image_size
    .quad   0xa                  // little-endian, 4 KiB pages, anywhere in memory
    .quad   0
    .quad   0
    .quad   0
    .ascii  "ARM\x64"
    .word   0

primary_entry:
    mov     x20, x0              // device tree
    mrs     x0, CurrentEL
    cmp     x0, #(2 << 2)
    b.ne    park
    adrp    x0, tables_start
    adrp    x1, tables_end
1:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    1b

    adrp    x21, image_head
    adrp    x0, identity_l0
    adrp    x1, identity_l1
    orr     x2, x1, #PAGE_TABLE
    ubfx    x3, x21, #39, #9
    str     x2, [x0, x3, lsl #3]
    ubfx    x3, x21, #30, #9
    and     x2, x21, #0x0000ffffc0000000
    ldr     x4, =(READ_EXECUTE | ATTRIBUTES) & ~2
    orr     x2, x2, x4
    str     x2, [x1, x3, lsl #3]

    adrp    x0, image_l1
    adrp    x1, image_l2
    orr     x2, x1, #PAGE_TABLE
    str     x2, [x0]
    adrp    x22, image_l3
    orr     x2, x22, #PAGE_TABLE
    mov     x3, #0
1:  str     x2, [x1, x3, lsl #3]
    add     x2, x2, #0x1000
    add     x3, x3, #1
    cmp     x3, #IMAGE_TABLES
    b.lo    1b
    adrp    x2, slot_l3
    orr     x2, x2, #PAGE_TABLE
    str     x2, [x1, #(8 * SLOT_INDEX)]

    mov     x0, x21
    adrp    x1, text_end
    ldr     x2, =READ_EXECUTE | ATTRIBUTES
    bl      map_pages
    adrp    x1, rodata_end
    ldr     x2, =READ | ATTRIBUTES
    bl      map_pages
    adrp    x1, image_end
    ldr     x2, =READ_WRITE | ATTRIBUTES
    bl      map_pages

    // The tables were written past the caches: drop stale lines.
    mrs     x0, ctr_el0
    ubfx    x0, x0, #16, #4
    mov     x1, #4
    lsl     x1, x1, x0
    adrp    x0, tables_start
    adrp    x2, tables_end
1:  dc      ivac, x0
    add     x0, x0, x1
    cmp     x0, x2
    b.lo    1b

    bl      prepare_cpu
    ldr     x0, =primary_mapped
    br      x0

// Entry of PSCI CPU_ON, x0 = number of the CPU.
.global secondary_entry
secondary_entry:
    mov     x20, x0
    bl      prepare_cpu
    ldr     x0, =secondary_mapped
    br      x0

// Maps the pages from x0 to x1 with attributes x2. x21 = start of the image, x22 = its tables.
// Leaves x0 = x1.
map_pages:
    cmp     x0, x1
    b.hs    1f
    sub     x3, x0, x21
    lsr     x3, x3, #12
    orr     x4, x0, x2
    str     x4, [x22, x3, lsl #3]
    add     x0, x0, #0x1000
    b       map_pages
1:  ret

// Turns the MMU on.
prepare_cpu:
    msr     daifset, #0xf
    msr     spsel, #1
    ldr     x0, =(1 << 34) | (1 << 31)            // HCR_EL2: E2H, RW
    msr     hcr_el2, x0
    isb
    ldr     x0, =(3 << 24) | (3 << 20) | (3 << 16) // CPTR_EL2: SME, FP and SVE without traps
    msr     cptr_el2, x0
    mov     x0, #0x00ff                            // 0: write-back, 1: device nGnRnE
    msr     mair_el2, x0
    // 48-bit lower, 39-bit upper half, 4 KiB pages, inner shareable write-back walks.
    ldr     x0, =(16 | 1 << 8 | 1 << 10 | 3 << 12 | 25 << 16 | 1 << 24 | 1 << 26 | 3 << 28 | 2 << 30)
    mrs     x1, id_aa64mmfr0_el1
    and     x1, x1, #0xf
    mov     x2, #5                                 // 48 bits
    cmp     x1, x2
    csel    x1, x1, x2, lo
    bfi     x0, x1, #32, #3
    msr     tcr_el2, x0
    adrp    x0, identity_l0
    msr     ttbr0_el2, x0
    adrp    x0, image_l1
    msr     ttbr1_el2, x0
    isb
    tlbi    alle2
    dsb     nsh
    isb
    ldr     x0, =0x30d5180d    // SCTLR_EL2: M, C, SA, I and the bits that are one on reset
    msr     sctlr_el2, x0
    isb
    ret

park:
    wfi
    b       park

.section .text.boot_mapped, "ax"
primary_mapped:
    ldr     x0, =bss_start
    ldr     x1, =bss_end
1:  cmp     x0, x1
    b.hs    2f
    stp     xzr, xzr, [x0], #16
    b       1b
2:  mov     x0, #0
    bl      enter_stack
    mov     x0, x20
    mov     x1, x21
    bl      primary_main
    b       park_mapped

secondary_mapped:
    mov     x0, x20
    bl      enter_stack
    mov     x0, x20
    bl      secondary_main
park_mapped:
    wfi
    b       park_mapped

// Stack, vectors and number of CPU x0. A stack fills the upper half of its slot.
enter_stack:
    ldr     x1, =stacks
    add     x2, x0, #1
    add     x1, x1, x2, lsl #20
    mov     sp, x1
    ldr     x1, =vectors
    msr     vbar_el2, x1
    msr     tpidr_el2, x0
    isb
    ret

.section .tables, "aw", %nobits
.balign 0x1000
identity_l0: .skip 0x1000
identity_l1: .skip 0x1000
image_l1:    .skip 0x1000
image_l2:    .skip 0x1000
.global image_l3
image_l3:    .skip 0x1000 * IMAGE_TABLES
.global slot_l3
slot_l3:     .skip 0x1000
