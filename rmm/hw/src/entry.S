// Entry from EL3, cold and warm.
//
// The image may be loaded anywhere; its first byte is entered with the MMU off (RMM-EL3
// interface, "Cold boot interface"). It is linked at a fixed virtual address, so nothing in it
// needs relocating: this code builds the translation tables for wherever it finds itself, turns
// the MMU on, and goes on at the linked address. Up to that point only PC-relative addresses are
// used.
//
// Kept throughout: x19 to x22 = x0 to x3 from EL3, x23 = physical address of the image.

.equ PAGE_SHIFT,      12
.equ PAGE_SIZE,       1 << PAGE_SHIFT

// Descriptors of the EL2&0 regime: valid page or table; AttrIndx 0 (Normal); inner shareable;
// access flag. AP[2] = read-only; UXN and PXN = never executed.
.equ DESC_TABLE,      0x3
.equ DESC_PAGE,       0x3 | (3 << 8) | (1 << 10)
.equ DESC_READ_ONLY,  1 << 7
.equ DESC_UXN,        1 << 54
.equ DESC_PXN,        1 << 53

.section .text.entry, "ax"
.global rmm_entry
rmm_entry:
    b       start
    nop
    // ImageHeader of rmm-abi, filled in by the link script and constants of this crate.
    .ascii  "CLSTRRMM"
    .word   {lowest_interface}
    .word   {highest_interface}
    .quad   __image_memory
    .quad   {memory_per_cpu}
    .word   {memory_per_granule}
    .word   {fixed_memory}

start:
    mov     x19, x0
    mov     x20, x1
    mov     x21, x2
    mov     x22, x3
    adr     x23, rmm_entry
    msr     daifset, #0xf

    // TGE stays clear, so that TLB maintenance for EL1&0 always means a Realm's regime.
    ldr     x0, ={hcr}
    msr     hcr_el2, x0
    isb

    // Was this image booted before? The flag is part of the image and written once, in Rust.
    adrp    x0, COLD_BOOTED
    ldr     w0, [x0, :lo12:COLD_BOOTED]
    cbnz    w0, enable_mmu

    // EL3 may have loaded the image with caches on. Whatever the caches hold of the memory that
    // is written here with the MMU off must not come back over it later.
    bl      drop_cached_zeroes
    adrp    x0, __hole_start
    add     x0, x0, :lo12:__hole_start
    adrp    x1, __bss_end
0:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    0b
    // The file has a copy of what is behind the zeroes of the data (image/link.ld).
    adrp    x0, __hole_end
    add     x0, x0, :lo12:__hole_end
    adrp    x1, __tail_copy
    add     x1, x1, :lo12:__tail_copy
    mov     x2, #64
0:  ldp     x3, x4, [x1], #16
    stp     x3, x4, [x0], #16
    subs    x2, x2, #16
    b.ne    0b

    // Level 1 → level 2 → level 3 of the image's 2 MiB window in the upper half.
    adrp    x0, __level1_table
    adrp    x1, __level2_table
    orr     x1, x1, #DESC_TABLE
    str     x1, [x0]
    adrp    x0, __level2_table
    adrp    x1, __image_table
    orr     x1, x1, #DESC_TABLE
    str     x1, [x0, #8]

    ldr     x3, =(DESC_PAGE | DESC_READ_ONLY | DESC_UXN)
    adrp    x0, __text_start
    adrp    x1, __text_end
    bl      map_image_pages
    ldr     x3, =(DESC_PAGE | DESC_READ_ONLY | DESC_UXN | DESC_PXN)
    adrp    x0, __rodata_start
    adrp    x1, __rodata_end
    bl      map_image_pages
    ldr     x3, =(DESC_PAGE | DESC_UXN | DESC_PXN)
    adrp    x0, __data_start
    adrp    x1, __boot_exception_stack_guard
    bl      map_image_pages
    adrp    x0, __boot_exception_stack_start
    adrp    x1, __boot_stack_guard
    bl      map_image_pages
    adrp    x0, __boot_stack_start
    adrp    x1, __bss_end
    bl      map_image_pages

    // One page, this code, at its physical address in the lower half: what runs while the MMU
    // comes on.
    adrp    x4, rmm_entry
    adrp    x0, __identity_tables
    mov     x2, #39
0:  lsr     x1, x4, x2
    and     x1, x1, #0x1ff
    add     x3, x0, #PAGE_SIZE
    orr     x3, x3, #DESC_TABLE
    str     x3, [x0, x1, lsl #3]
    add     x0, x0, #PAGE_SIZE
    sub     x2, x2, #9
    cmp     x2, #PAGE_SHIFT
    b.ne    0b
    lsr     x1, x4, #PAGE_SHIFT
    and     x1, x1, #0x1ff
    ldr     x3, =(DESC_PAGE | DESC_READ_ONLY | DESC_UXN)
    orr     x3, x3, x4
    str     x3, [x0, x1, lsl #3]
    dsb     sy
    // Lines may have been filled from before the writes in the meantime.
    bl      drop_cached_zeroes

enable_mmu:
    ldr     x0, ={mair}
    msr     mair_el2, x0
    // The size of physical addresses comes from the CPU; 52-bit tables are not used.
    mrs     x0, id_aa64mmfr0_el1
    and     x0, x0, #0xf
    mov     x1, #5
    cmp     x0, x1
    csel    x0, x0, x1, lo
    ldr     x1, ={tcr}
    orr     x0, x1, x0, lsl #32
    msr     tcr_el2, x0
    adrp    x0, __identity_tables
    msr     ttbr0_el2, x0
    adrp    x0, __level1_table
    msr     s3_4_c2_c0_1, x0    // TTBR1_EL2
    isb
    tlbi    alle2
    ic      iallu
    dsb     nsh
    isb
    ldr     x0, ={sctlr}
    msr     sctlr_el2, x0
    isb
    ldr     x0, =upper_half
    br      x0

upper_half:
    // No lower half from here on: a null pointer faults.
    ldr     x0, ={tcr_upper_only}
    mrs     x1, tcr_el2
    orr     x1, x1, x0
    msr     tcr_el2, x1
    msr     ttbr0_el2, xzr
    isb
    tlbi    alle2
    dsb     nsh
    isb
    ldr     x0, =exception_vectors
    msr     vbar_el2, x0
    msr     cptr_el2, xzr
    isb

    // Exceptions run on SP_EL2, everything else on SP_EL0: a stack that overflows does not take
    // its own report with it.
    adrp    x0, COLD_BOOTED
    ldr     w0, [x0, :lo12:COLD_BOOTED]
    cbnz    w0, warm
    msr     tpidr_el2, x19
    adrp    x0, __boot_exception_stack_end
    mov     sp, x0
    msr     spsel, #0
    adrp    x0, __boot_stack_end
    mov     sp, x0
    mov     x29, xzr
    mov     x30, xzr
    mov     x0, x19
    mov     x1, x20
    mov     x2, x21
    mov     x3, x22
    mov     x4, x23
    bl      rmm_cold_boot
    brk     #0

warm:
    // A CPU number that EL3 has not announced has no stack; the answer needs none.
    adrp    x0, CPU_COUNT
    ldr     w0, [x0, :lo12:CPU_COUNT]
    cmp     x19, x0
    b.hs    refuse_cpu
    msr     tpidr_el2, x19
    mov     x0, x19
    bl      set_stacks
    mov     x0, x19
    bl      rmm_warm_boot
    brk     #0

refuse_cpu:
    ldr     x0, ={boot_complete}
    mov     x1, #{cpu_out_of_range}
    mov     x2, xzr
    smc     #0
    b       refuse_cpu

// Invalidates what caches hold of memory that is not in the file. Clobbers x0 to x2.
drop_cached_zeroes:
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4
    mov     x0, #4
    lsl     x2, x0, x2
    adrp    x0, __hole_start
    add     x0, x0, :lo12:__hole_start
    adrp    x1, __bss_end
0:  dc      ivac, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    0b
    dsb     sy
    ret

// Maps [x0, x1) of the image, physical, with attributes x3. Clobbers x0, x2, x4, x5, x6.
map_image_pages:
    adrp    x2, __image_table
    adrp    x4, rmm_entry
0:  cmp     x0, x1
    b.hs    1f
    sub     x5, x0, x4
    lsr     x5, x5, #PAGE_SHIFT
    orr     x6, x0, x3
    str     x6, [x2, x5, lsl #3]
    add     x0, x0, #PAGE_SIZE
    b       0b
1:  ret

// Gives this CPU, number x0, its stacks: SP_EL2 for exceptions, SP_EL0 for everything else.
set_stacks:
    ldr     x1, ={per_cpu_base}
    add     x0, x1, x0, lsl #{per_cpu_shift}
    msr     spsel, #1
    add     x1, x0, #{exception_stack_end}
    mov     sp, x1
    msr     spsel, #0
    add     x1, x0, #{stack_end}
    mov     sp, x1
    mov     x29, xzr
    ret

// Leaves the boot stack for good: goes on in x1 on the stacks of CPU x0.
.global continue_on_cpu_stack
continue_on_cpu_stack:
    mov     x19, x0
    mov     x20, x1
    bl      set_stacks
    mov     x0, x19
    mov     x30, xzr
    br      x20

.ltorg
.global __entry_end
__entry_end:
