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
