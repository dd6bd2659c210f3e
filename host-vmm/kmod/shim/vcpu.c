// SPDX-License-Identifier: MIT OR Apache-2.0
/* vCPU files, and the loop that runs a REC. */
#define pr_fmt(fmt) "realm: " fmt

#include <linux/anon_inodes.h>
#include <linux/arm-smccc.h>
#include <linux/context_tracking.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vtime.h>

#include <asm/arch_timer.h>

#include "host.h"

#define SMC_RMI_REC_ENTER 0xc400015cUL

static_assert(sizeof(struct kvm_run) <= PAGE_SIZE);

void host_vcpu_kick(struct host_vcpu *vcpu)
{
	struct task_struct *task;

	rcuwait_wake_up(&vcpu->wait);
	rcu_read_lock();
	task = rcu_dereference(vcpu->task);
	/* Interrupts its CPU if it is not this one; on this one it is not in the Realm. */
	if (task)
		kick_process(task);
	rcu_read_unlock();
}

/*
 * Enters the REC: gives X0 of RMI_REC_ENTER. For the kernel the Realm runs in user space: RCU does not
 * wait for this CPU meanwhile. That ends before anything else of the kernel is used, so nothing in here
 * may be traced.
 */
static noinstr u64 vcpu_enter_rec(u64 rec, u64 run)
{
	struct arm_smccc_1_2_regs registers = {
		.a0 = SMC_RMI_REC_ENTER,
		.a1 = rec,
		.a2 = run,
	};

	if (!context_tracking_guest_enter()) {
		instrumentation_begin();
		rcu_virt_note_context_switch();
		instrumentation_end();
	}
	arm_smccc_1_2_smc(&registers, &registers);
	context_tracking_guest_exit();
	return registers.a0;
}

/*
 * Sees to whatever the thread owes the kernel, as KVM does it: lets others run, and does the work that its
 * return to user space would bring. An error for what only user space, or its end, can see to.
 */
static int vcpu_see_to_work(struct host_vcpu *vcpu)
{
	int error = 0;

	if (__xfer_to_guest_mode_work_pending())
		error = compat_handle_guest_work();
	return READ_ONCE(vcpu->vm->stopping) ? -ESHUTDOWN : error;
}

/*
 * One round: what Rust wants to do, and if that is to enter the REC, what comes of it. From the last look
 * at work until the Realm runs there are no interrupts: a kick in between waits as an interrupt, and the
 * REC exits as soon as it is entered.
 */
static int vcpu_round(struct host_vcpu *vcpu, struct realm_action *action)
{
	int error;
	u64 x0;

	cond_resched();
	error = vcpu_see_to_work(vcpu);
	if (error)
		return error;
	preempt_disable();
	local_irq_disable();
	/* It may have come since; then once more. */
	if (xfer_to_guest_mode_work_pending() || READ_ONCE(vcpu->vm->stopping)) {
		local_irq_enable();
		preempt_enable();
		action->kind = REALM_ACTION_RUN;
		return 0;
	}
	realm_vcpu_prepare(vcpu->core, __arch_counter_get_cntpct(), action);
	if (action->kind != REALM_ACTION_ENTER) {
		local_irq_enable();
		preempt_enable();
		return 0;
	}
	vtime_account_guest_enter();
	x0 = vcpu_enter_rec(action->data[0], action->data[1]);
	/* The interrupt that ended it is taken here, so that a tick counts the time as the guest's. */
	local_irq_enable();
	isb();
	local_irq_disable();
	vtime_account_guest_exit();
	local_irq_enable();
	preempt_enable();
	realm_vcpu_exited(vcpu->core, x0, __arch_counter_get_cntpct(), action);
	return 0;
}

/* The time from now to a value of the counter. Who waits for more than an hour asks again then. */
static ktime_t vcpu_time_until(u64 deadline, u64 now)
{
	u32 frequency = arch_timer_get_cntfrq();
	u64 ticks = deadline > now ? deadline - now : 0;

	ticks = min(ticks, 3600ULL * frequency);
	/* Rounded up: to wake early is to wait again. */
	return ns_to_ktime(mul_u64_u32_div(ticks, NSEC_PER_SEC, frequency) + 1);
}

/* Sleeps until the vCPU has a reason to run. */
static int vcpu_wait(struct host_vcpu *vcpu)
{
	int result = 0;

	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		u64 now, deadline = U64_MAX;
		ktime_t time;

		set_current_state(TASK_INTERRUPTIBLE);
		now = __arch_counter_get_cntpct();
		if (realm_vcpu_poll(vcpu->core, now, &deadline))
			break;
		if (READ_ONCE(vcpu->vm->stopping)) {
			result = -ESHUTDOWN;
			break;
		}
		if (signal_pending(current)) {
			result = -EINTR;
			break;
		}
		/* Work that the next round sees to. */
		if (test_thread_flag(TIF_NOTIFY_RESUME))
			break;
		if (deadline == U64_MAX) {
			schedule();
		} else {
			time = vcpu_time_until(deadline, now);
			schedule_hrtimeout(&time, HRTIMER_MODE_REL);
		}
	}
	finish_rcuwait(&vcpu->wait);
	return result;
}

/* An access to a device that no ioeventfd takes: true, and what it is about goes to user space. */
static bool vcpu_exit_mmio(struct host_vcpu *vcpu, const struct realm_action *action)
{
	struct kvm_run *run = vcpu->run;
	u64 size = min(action->size, (u64)sizeof(run->mmio.data));
	__le64 value = cpu_to_le64(action->data[0]);

	if (action->flags == 1 &&
	    host_ioeventfd_signal(vcpu->vm, action->address, size, action->data[0]))
		return false;
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = action->address;
	run->mmio.len = size;
	run->mmio.is_write = action->flags == 1;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (action->flags == 1)
		memcpy(run->mmio.data, &value, size);
	else
		vcpu->mmio_read = size;
	return true;
}

/* Fills in why KVM_RUN ends, and gives its result. */
static int vcpu_exit(struct host_vcpu *vcpu, const struct realm_action *action)
{
	struct kvm_run *run = vcpu->run;

	switch (action->kind) {
	case REALM_ACTION_MEMORY_FAULT:
		run->exit_reason = KVM_EXIT_MEMORY_FAULT;
		run->memory_fault.flags = action->flags;
		run->memory_fault.gpa = action->address;
		run->memory_fault.size = action->size;
		return -EFAULT;
	case REALM_ACTION_HYPERCALL:
		run->exit_reason = KVM_EXIT_HYPERCALL;
		memset(&run->hypercall, 0, sizeof(run->hypercall));
		run->hypercall.nr = action->data[0];
		run->hypercall.args[0] = action->data[1];
		run->hypercall.args[1] = action->data[2];
		run->hypercall.args[2] = action->data[3];
		return 0;
	case REALM_ACTION_SYSTEM_EVENT:
		run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
		memset(&run->system_event, 0, sizeof(run->system_event));
		run->system_event.type = action->flags;
		return 0;
	default:
		run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
		memset(&run->internal, 0, sizeof(run->internal));
		run->internal.suberror = KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON;
		run->internal.ndata = 2;
		run->internal.data[0] = action->data[0];
		run->internal.data[1] = action->data[1];
		return 0;
	}
}

static int vcpu_loop(struct host_vcpu *vcpu)
{
	struct realm_action action = { .kind = REALM_ACTION_RUN };
	struct host_vm *vm = vcpu->vm;
	int error = 0;

	while (!error) {
		switch (action.kind) {
		case REALM_ACTION_RUN:
			error = vcpu_round(vcpu, &action);
			break;
		case REALM_ACTION_HANDLE:
			error = mutex_lock_killable(&vm->lock);
			if (error)
				break;
			error = realm_vcpu_handle(vm->core, vcpu->core, &action);
			mutex_unlock(&vm->lock);
			break;
		case REALM_ACTION_WAIT:
			error = vcpu_wait(vcpu);
			action.kind = REALM_ACTION_RUN;
			break;
		case REALM_ACTION_MMIO:
			if (vcpu_exit_mmio(vcpu, &action))
				return 0;
			action.kind = REALM_ACTION_RUN;
			break;
		default:
			return vcpu_exit(vcpu, &action);
		}
	}
	if (error == -EINTR)
		vcpu->run->exit_reason = KVM_EXIT_INTR;
	return error;
}

/* The value of a read that the last KVM_RUN has left with. User space may write to it all the time. */
static void vcpu_complete_read(struct host_vcpu *vcpu)
{
	__le64 value = 0;

	if (!vcpu->mmio_read)
		return;
	memcpy(&value, vcpu->run->mmio.data, vcpu->mmio_read);
	vcpu->mmio_read = 0;
	realm_vcpu_complete_mmio(vcpu->core, le64_to_cpu(value));
}

static int vcpu_start(struct host_vcpu *vcpu)
{
	struct host_vm *vm = vcpu->vm;
	int error;

	if (vcpu->started)
		return 0;
	error = mutex_lock_killable(&vm->lock);
	if (error)
		return error;
	error = realm_vcpu_start(vm->core, vcpu->core);
	mutex_unlock(&vm->lock);
	vcpu->started = !error;
	return error;
}

static int vcpu_run(struct host_vcpu *vcpu)
{
	int error;

	vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
	error = vcpu_start(vcpu);
	if (error)
		return error;
	vcpu_complete_read(vcpu);
	if (READ_ONCE(vcpu->run->immediate_exit__unsafe)) {
		vcpu->run->exit_reason = KVM_EXIT_INTR;
		return -EINTR;
	}
	rcu_assign_pointer(vcpu->task, current);
	/* Before the look at `stopping`; pairs with host_vm_interrupt(). */
	smp_mb();
	error = vcpu_loop(vcpu);
	RCU_INIT_POINTER(vcpu->task, NULL);
	return error;
}

static int vcpu_initialize(struct host_vcpu *vcpu, void __user *argument)
{
	struct kvm_vcpu_init init;
	int error;

	if (copy_from_user(&init, argument, sizeof(init)))
		return -EFAULT;
	error = mutex_lock_killable(&vcpu->vm->lock);
	if (error)
		return error;
	error = realm_vcpu_initialize(vcpu->vm->core, vcpu->core, init.target, init.features);
	mutex_unlock(&vcpu->vm->lock);
	return error;
}

static int vcpu_register(struct host_vcpu *vcpu, void __user *argument, bool write)
{
	struct kvm_one_reg reg;
	u64 value = 0;
	int error;

	if (copy_from_user(&reg, argument, sizeof(reg)))
		return -EFAULT;
	if ((reg.id & KVM_REG_SIZE_MASK) != KVM_REG_SIZE_U64)
		return -ENOENT;
	if (write && get_user(value, (u64 __user *)reg.addr))
		return -EFAULT;
	error = mutex_lock_killable(&vcpu->vm->lock);
	if (error)
		return error;
	if (write)
		error = realm_vcpu_set_register(vcpu->vm->core, vcpu->core, reg.id, value);
	else
		error = realm_vcpu_get_register(vcpu->vm->core, vcpu->core, reg.id, &value);
	mutex_unlock(&vcpu->vm->lock);
	if (!error && !write && put_user(value, (u64 __user *)reg.addr))
		error = -EFAULT;
	return error;
}

static int vcpu_complete_psci(struct host_vcpu *vcpu, void __user *argument)
{
	struct kvm_arm_rmi_psci_complete complete;
	int error;

	if (copy_from_user(&complete, argument, sizeof(complete)))
		return -EFAULT;
	if (memchr_inv(complete.padding, 0, sizeof(complete.padding)))
		return -EINVAL;
	error = mutex_lock_killable(&vcpu->vm->lock);
	if (error)
		return error;
	error = realm_vcpu_complete_psci(vcpu->vm->core, vcpu->core, &complete);
	mutex_unlock(&vcpu->vm->lock);
	return error;
}

static long vcpu_call(struct host_vcpu *vcpu, unsigned int command, unsigned long argument)
{
	void __user *pointer = (void __user *)argument;

	switch (command) {
	case KVM_RUN:
		return argument ? -EINVAL : vcpu_run(vcpu);
	case KVM_ARM_VCPU_INIT:
		return vcpu_initialize(vcpu, pointer);
	case KVM_SET_ONE_REG:
		return vcpu_register(vcpu, pointer, true);
	case KVM_GET_ONE_REG:
		return vcpu_register(vcpu, pointer, false);
	case KVM_ARM_VCPU_RMI_PSCI_COMPLETE:
		return vcpu_complete_psci(vcpu, pointer);
	default:
		return -ENOTTY;
	}
}

static long vcpu_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct host_vcpu *vcpu = file->private_data;
	long result;

	result = host_vm_enter(vcpu->vm);
	if (result)
		return result;
	result = mutex_lock_killable(&vcpu->lock);
	if (!result) {
		result = vcpu_call(vcpu, command, argument);
		mutex_unlock(&vcpu->lock);
	}
	return host_vm_leave(vcpu->vm, result);
}

static vm_fault_t vcpu_fault(struct vm_fault *fault)
{
	struct host_vcpu *vcpu = fault->vma->vm_file->private_data;

	if (fault->pgoff)
		return VM_FAULT_SIGBUS;
	fault->page = virt_to_page(vcpu->run);
	get_page(fault->page);
	return 0;
}

static const struct vm_operations_struct vcpu_memory_operations = {
	.fault = vcpu_fault,
};

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_SHARED) || (vma->vm_flags & VM_EXEC))
		return -EINVAL;
	vma->vm_ops = &vcpu_memory_operations;
	/* Of one page, and not for children. */
	vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND);
	return 0;
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct host_vcpu *vcpu = file->private_data;

	if (vcpu)
		host_vm_put(vcpu->vm);
	return 0;
}

static const struct file_operations vcpu_operations = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = vcpu_ioctl,
	.mmap = vcpu_mmap,
	.release = vcpu_release,
	.llseek = noop_llseek,
};

static struct host_vcpu *vcpu_allocate(struct host_vm *vm, u32 index)
{
	struct host_vcpu *vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);

	if (!vcpu)
		return NULL;
	vcpu->vm = vm;
	vcpu->index = index;
	mutex_init(&vcpu->lock);
	rcuwait_init(&vcpu->wait);
	vcpu->rec_run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vcpu->run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->rec_run || !vcpu->run) {
		host_vcpu_free(vcpu);
		return NULL;
	}
	return vcpu;
}

/* The Rust half has let go of it, but somebody may be about to kick it. */
void host_vcpu_free(struct host_vcpu *vcpu)
{
	free_page((unsigned long)vcpu->rec_run);
	/* A mapping that is left keeps this page. */
	free_page((unsigned long)vcpu->run);
	kfree_rcu(vcpu, rcu);
}

/*
 * With the VM's lock held. The file comes first: what Rust has been told of a vCPU it remembers, so
 * nothing may fail after that.
 */
static int vcpu_add(struct host_vm *vm, u32 index, int fd)
{
	struct host_vcpu *vcpu;
	struct file *file;
	int error;

	if (vm->vcpus[index])
		return -EEXIST;
	vcpu = vcpu_allocate(vm, index);
	if (!vcpu)
		return -ENOMEM;
	file = anon_inode_getfile("realm-vcpu", &vcpu_operations, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		host_vcpu_free(vcpu);
		return PTR_ERR(file);
	}
	smp_store_release(&vm->vcpus[index], vcpu);
	error = realm_vcpu_create(vm->core, index, vcpu->rec_run, virt_to_phys(vcpu->rec_run),
				  &vcpu->core);
	if (error) {
		WRITE_ONCE(vm->vcpus[index], NULL);
		/* Released later, and with nothing to let go of. */
		file->private_data = NULL;
		fput(file);
		host_vcpu_free(vcpu);
		return error;
	}
	host_vm_get(vm);
	fd_install(fd, file);
	return 0;
}

int host_vcpu_create(struct host_vm *vm, unsigned long index)
{
	int error, fd;

	if (index >= REALM_MAX_VCPUS)
		return -EINVAL;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	error = mutex_lock_killable(&vm->lock);
	if (!error) {
		error = vcpu_add(vm, index, fd);
		mutex_unlock(&vm->lock);
	}
	if (!error)
		return fd;
	put_unused_fd(fd);
	return error;
}
