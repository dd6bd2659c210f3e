// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Files that stand for private memory, and slots. The memory itself is the Rust half's: it belongs to
 * the VM, comes when the Realm needs it, and goes with the VM.
 */
#define pr_fmt(fmt) "realm: " fmt

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "host.h"

struct host_memory {
	struct host_vm *vm;
	u64 id;
	u64 size;
};

/* A part of a file that a slot has. */
struct host_binding {
	struct list_head link;
	u64 memory;
	u64 offset;
	u64 size;
};

static int memory_release(struct inode *inode, struct file *file)
{
	struct host_memory *memory = file->private_data;
	struct host_vm *vm = memory->vm;

	kfree(memory);
	host_vm_put(vm);
	return 0;
}

static const struct file_operations memory_operations = {
	.owner = THIS_MODULE,
	.release = memory_release,
	.llseek = noop_llseek,
};

int host_memory_create(struct host_vm *vm, const struct kvm_create_guest_memfd *create)
{
	static atomic64_t last_id = ATOMIC64_INIT(0);
	struct host_memory *memory;
	int fd;

	if (create->flags || memchr_inv(create->reserved, 0, sizeof(create->reserved)))
		return -EINVAL;
	if (!create->size || !PAGE_ALIGNED(create->size) || create->size > MAX_LFS_FILESIZE)
		return -EINVAL;
	memory = kzalloc(sizeof(*memory), GFP_KERNEL_ACCOUNT);
	if (!memory)
		return -ENOMEM;
	memory->vm = vm;
	memory->id = atomic64_inc_return(&last_id);
	memory->size = create->size;
	fd = host_install(vm, "realm-memory", &memory_operations, memory, O_RDWR);
	if (fd < 0)
		kfree(memory);
	return fd;
}

/* The part of a file that a slot asks for; nobody else has it. */
static int memory_find(struct host_vm *vm, const struct kvm_userspace_memory_region2 *region,
		       struct host_binding *binding)
{
	struct file *file = fget(region->guest_memfd);
	struct host_memory *memory;
	struct host_binding *other;
	int error = -EINVAL;
	u64 end;

	if (!file)
		return -EBADF;
	if (file->f_op != &memory_operations)
		goto out;
	memory = file->private_data;
	if (memory->vm != vm || !PAGE_ALIGNED(region->guest_memfd_offset) ||
	    check_add_overflow(region->guest_memfd_offset, region->memory_size, &end) ||
	    end > memory->size)
		goto out;
	error = -EEXIST;
	list_for_each_entry(other, &vm->bindings, link)
		if (other->memory == memory->id && region->guest_memfd_offset < other->offset + other->size &&
		    other->offset < end)
			goto out;
	binding->memory = memory->id;
	binding->offset = region->guest_memfd_offset;
	binding->size = region->memory_size;
	error = 0;
out:
	fput(file);
	return error;
}

/*
 * Whether the slots of a VM would still fit into the memory of the machine. What is noted of a slot grows
 * with its size, and nobody can fill one that is larger.
 */
static bool memory_fits(struct host_vm *vm, u64 size)
{
	u64 total = (u64)totalram_pages() << PAGE_SHIFT;
	struct host_binding *binding;

	list_for_each_entry(binding, &vm->bindings, link)
		total -= min(total, binding->size);
	return size <= total;
}

/* With the VM's lock held. */
int host_memory_add_slot(struct host_vm *vm, const struct kvm_userspace_memory_region2 *region)
{
	struct host_binding *binding;
	int error;

	if (region->pad1 || memchr_inv(region->pad2, 0, sizeof(region->pad2)))
		return -EINVAL;
	/* Address spaces other than the first one are for x86. */
	if (region->slot > U16_MAX)
		return -EINVAL;
	/* What is removed has no other fields, and what Rust says to that is an error. */
	if (!region->memory_size)
		return realm_vm_add_slot(vm->core, region->slot, region->guest_phys_addr, 0, 0);
	if (region->flags != KVM_MEM_GUEST_MEMFD)
		return -EINVAL;
	if (!access_ok((void __user *)region->userspace_addr, region->memory_size) ||
	    region->userspace_addr != untagged_addr(region->userspace_addr))
		return -EINVAL;
	if (!memory_fits(vm, region->memory_size))
		return -ENOMEM;
	binding = kzalloc(sizeof(*binding), GFP_KERNEL_ACCOUNT);
	if (!binding)
		return -ENOMEM;
	error = memory_find(vm, region, binding);
	if (!error)
		error = realm_vm_add_slot(vm->core, region->slot, region->guest_phys_addr,
					  region->memory_size, region->userspace_addr);
	if (error) {
		kfree(binding);
		return error;
	}
	list_add_tail(&binding->link, &vm->bindings);
	return 0;
}

void host_memory_end(struct host_vm *vm)
{
	struct host_binding *binding, *next;

	list_for_each_entry_safe(binding, next, &vm->bindings, link)
		kfree(binding);
	INIT_LIST_HEAD(&vm->bindings);
}
