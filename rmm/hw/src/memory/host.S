// Copies a granule of the host. Only the loads may fault: `memory::recovery` goes on at
// `rmm_copy_from_host_fault`.
//
// u64 rmm_copy_from_host(void *to, const void *from): zero when all was copied.

.section .text.copy_from_host, "ax"
.global rmm_copy_from_host
.global rmm_copy_from_host_loads
.global rmm_copy_from_host_loads_end
.global rmm_copy_from_host_fault
rmm_copy_from_host:
    add     x2, x1, #4096
0:
rmm_copy_from_host_loads:
    ldp     x3, x4, [x1], #64
    ldp     x5, x6, [x1, #-48]
    ldp     x7, x8, [x1, #-32]
    ldp     x9, x10, [x1, #-16]
rmm_copy_from_host_loads_end:
    stp     x3, x4, [x0], #64
    stp     x5, x6, [x0, #-48]
    stp     x7, x8, [x0, #-32]
    stp     x9, x10, [x0, #-16]
    cmp     x1, x2
    b.ne    0b
    mov     x0, #0
    ret
rmm_copy_from_host_fault:
    mov     x0, #1
    ret

// u64 rmm_read_host_words(u64 *to, const u64 *from, u64 count): zero when all was read.
.global rmm_read_host_words
.global rmm_read_host_words_load
.global rmm_read_host_words_load_end
rmm_read_host_words:
    cbz     x2, 1f
0:
rmm_read_host_words_load:
    ldr     x3, [x1], #8
rmm_read_host_words_load_end:
    subs    x2, x2, #1
    str     x3, [x0], #8
    b.ne    0b
1:  mov     x0, #0
    ret

// u64 rmm_write_host_words(u64 *to, const u64 *from, u64 count): zero when all was written.
.global rmm_write_host_words
.global rmm_write_host_words_store
.global rmm_write_host_words_store_end
rmm_write_host_words:
    cbz     x2, 1f
0:  ldr     x3, [x1], #8
    subs    x2, x2, #1
rmm_write_host_words_store:
    str     x3, [x0], #8
rmm_write_host_words_store_end:
    b.ne    0b
1:  mov     x0, #0
    ret

// u64 rmm_clear_host_words(u64 *from, u64 *to, u64 block): zero when all was cleared. `block` is what
// DC ZVA clears, in bytes, zero when it may not be used.
.global rmm_clear_host_words
.global rmm_clear_host_words_store
.global rmm_clear_host_words_store_end
rmm_clear_host_words:
    cbz     x2, 1f
0:
rmm_clear_host_words_store:
    dc      zva, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    0b
    mov     x0, #0
    ret
1:  stp     xzr, xzr, [x0], #16
rmm_clear_host_words_store_end:
    cmp     x0, x1
    b.lo    1b
    mov     x0, #0
    ret
