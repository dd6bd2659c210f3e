// SPDX-License-Identifier: MIT OR Apache-2.0
/* The kernel as the Rust half sees it: core.h says what each of these is for. */
#define pr_fmt(fmt) "realm: " fmt

#include <linux/arm-smccc.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "host.h"

static DEFINE_MUTEX(pool_mutex);

void realm_host_rmi(__u64 registers[8])
{
	struct arm_smccc_1_2_regs r = {
		.a0 = registers[0], .a1 = registers[1], .a2 = registers[2], .a3 = registers[3],
		.a4 = registers[4], .a5 = registers[5], .a6 = registers[6], .a7 = registers[7],
	};

	arm_smccc_1_2_smc(&r, &r);
	registers[0] = r.a0;
	registers[1] = r.a1;
	registers[2] = r.a2;
	registers[3] = r.a3;
	registers[4] = r.a4;
	registers[5] = r.a5;
	registers[6] = r.a6;
	registers[7] = r.a7;
}

/*
 * The pages are marked as offline while Rust has them: whoever goes through memory page by page then
 * leaves them out (/proc/kcore, dumps of a crashed kernel), where a read of a delegated one would be
 * fatal. Whoever has looked at the mark before and still reads is waited for. A VM that wants more than
 * there is gets an error and not the killer.
 */
int realm_host_take_pages(__u32 order, __u64 *physical)
{
	gfp_t flags = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
	struct page *page;
	unsigned long index;

	if (order > MAX_PAGE_ORDER)
		return -ENOMEM;
	flags |= order ? __GFP_NORETRY : __GFP_RETRY_MAYFAIL;
	page = alloc_pages(flags, order);
	if (!page)
		return -ENOMEM;
	page_offline_begin();
	for (index = 0; index < 1UL << order; index++)
		__SetPageOffline(page + index);
	page_offline_end();
	*physical = page_to_phys(page);
	return 0;
}

static void pages_are_the_kernels(struct page *page, unsigned long count)
{
	unsigned long index;

	page_offline_begin();
	for (index = 0; index < count; index++)
		__ClearPageOffline(page + index);
	page_offline_end();
}

void realm_host_give_pages(__u64 physical, __u32 order)
{
	struct page *page = pfn_to_page(PHYS_PFN(physical));

	pages_are_the_kernels(page, 1UL << order);
	__free_pages(page, order);
}

/* What the memory cgroup pays becomes its for each page. */
void realm_host_split_pages(__u64 physical, __u32 order)
{
	split_page(pfn_to_page(PHYS_PFN(physical)), order);
}

void realm_host_give_single_pages(__u64 physical, __u64 count)
{
	struct page *page = pfn_to_page(PHYS_PFN(physical));
	unsigned long index;

	pages_are_the_kernels(page, count);
	for (index = 0; index < count; index++)
		__free_page(page + index);
}

void realm_host_write_page(__u64 physical, __u64 offset, const void *bytes, __u64 length)
{
	memcpy(phys_to_virt(physical) + offset, bytes, length);
}

int realm_host_copy_from_user(__u64 physical, __u64 source)
{
	return copy_from_user(phys_to_virt(physical), (void __user *)source, PAGE_SIZE) ? -EFAULT : 0;
}

/*
 * Pinned pages count for the user and not for the process: who forks may not have more of them. The limit
 * is the same that io_uring, VFIO and iommufd count in.
 */
static int account_pin(struct host_vm *vm)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	long count;

	if (vm->user) {
		count = atomic_long_read(&vm->user->locked_vm);
		do {
			if (count < 0 || (unsigned long)count >= limit)
				return -ENOMEM;
		} while (!atomic_long_try_cmpxchg(&vm->user->locked_vm, &count, count + 1));
	}
	/* For people only: VmPin in /proc/PID/status. */
	atomic64_inc(&vm->mm->pinned_vm);
	return 0;
}

static void unaccount_pin(struct host_vm *vm)
{
	if (vm->user)
		atomic_long_dec(&vm->user->locked_vm);
	atomic64_dec(&vm->mm->pinned_vm);
}

int realm_host_pin(void *context, __u64 address, __u64 *physical)
{
	struct host_vm *vm = context;
	struct page *page;
	int result;

	if (current->mm != vm->mm)
		return -EFAULT;
	result = account_pin(vm);
	if (result)
		return result;
	result = pin_user_pages_fast(address, 1, FOLL_WRITE | FOLL_LONGTERM, &page);
	if (result != 1) {
		unaccount_pin(vm);
		return result == -ENOMEM ? -ENOMEM : -EFAULT;
	}
	*physical = page_to_phys(page);
	return 0;
}

void realm_host_unpin(void *context, __u64 physical)
{
	struct host_vm *vm = context;
	struct page *page = pfn_to_page(PHYS_PFN(physical));

	/* The Realm may have written to it whenever it liked. */
	unpin_user_pages_dirty_lock(&page, 1, true);
	unaccount_pin(vm);
}

void realm_host_lock_pool(void)
{
	mutex_lock(&pool_mutex);
}

void realm_host_unlock_pool(void)
{
	mutex_unlock(&pool_mutex);
}

unsigned long realm_host_lock_interrupts(void *context)
{
	struct host_vm *vm = context;
	unsigned long flags;

	raw_spin_lock_irqsave(&vm->interrupts, flags);
	return flags;
}

void realm_host_unlock_interrupts(void *context, unsigned long flags)
{
	struct host_vm *vm = context;

	raw_spin_unlock_irqrestore(&vm->interrupts, flags);
}

void realm_host_kick(void *context, __u32 index)
{
	struct host_vm *vm = context;
	struct host_vcpu *vcpu = NULL;

	rcu_read_lock();
	if (index < REALM_MAX_VCPUS)
		vcpu = smp_load_acquire(&vm->vcpus[index]);
	if (vcpu)
		host_vcpu_kick(vcpu);
	rcu_read_unlock();
}

void *realm_host_allocate(__u64 size, __u64 align)
{
	u64 rounded = ARCH_KMALLOC_MINALIGN;

	if (align > PAGE_SIZE || size > INT_MAX)
		return NULL;
	/* What has the size of a power of two is aligned to it, and large pieces are to pages. */
	if (align > rounded) {
		while (rounded < max(size, align))
			rounded *= 2;
		size = rounded;
	}
	/* An error and not the killer, here too. */
	return kvmalloc(size, GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
}

void realm_host_free(void *pointer)
{
	kvfree(pointer);
}

void realm_host_rest(void)
{
	cond_resched();
}

bool realm_host_interrupted(void)
{
	return fatal_signal_pending(current) || host_is_stopping();
}

__u64 realm_host_nanoseconds(void)
{
	return ktime_get_ns();
}

void realm_host_log(__u32 level, const char *text, __u64 length)
{
	int count = min(length, (__u64)1000);

	if (level <= 3)
		pr_err("%.*s\n", count, text);
	else if (level == 4)
		pr_warn("%.*s\n", count, text);
	else
		pr_info("%.*s\n", count, text);
}

void realm_host_panic(const char *text, __u64 length)
{
	pr_emerg("%.*s\n", (int)min(length, (__u64)1000), text);
	BUG();
}
