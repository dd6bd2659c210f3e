// Accesses that may fault. `exceptions.rs` knows the instructions by name; after a fault on one of
// them it continues behind it with the syndrome in the second result.

.section .text.access, "ax"

// x0 = address → x0 = value, x1 = 0 or syndrome
.global access_read
access_read:
    mov     x1, #0
.global access_read_instruction
access_read_instruction:
    ldr     x0, [x0]
    ret

// x0 = address, x1 = value → x1 = 0 or syndrome
.global access_write
access_write:
    mov     x2, x1
    mov     x1, #0
.global access_write_instruction
access_write_instruction:
    str     x2, [x0]
    ret

// x0 = address of a subroutine → x1 = 0 or syndrome
.global access_execute
access_execute:
    stp     x29, x30, [sp, #-16]!
    mov     x9, x0
    mov     x1, #0
    blr     x9
.global access_execute_return
access_execute_return:
    ldp     x29, x30, [sp], #16
    ret
