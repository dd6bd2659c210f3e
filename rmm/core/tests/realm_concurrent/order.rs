//! Whether what several CPUs saw can be put into one order that the model agrees with.

use rmm_abi::rmi::fid;
use rmm_model::realm::{HostMemory, World};

const ERROR_INPUT: u64 = 1;

/// A call with its reply, and when it began and ended on a clock that all CPUs share.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) call: [u64; 8],
    pub(crate) reply: [u64; 5],
}

/// Looks for an order of the calls, each CPU's own order and that of the clock kept, in which every
/// reply is one that the model allows and which ends in a world that `is_real` takes for the real
/// one.
pub(crate) fn explain(
    before: &World,
    cpus: &[Vec<Done>],
    host: &dyn HostMemory,
    is_real: &mut dyn FnMut(&World) -> bool,
) -> Option<World> {
    let mut next = vec![0; cpus.len()];
    search(before, cpus, &mut next, host, is_real)
}

fn search(
    world: &World,
    cpus: &[Vec<Done>],
    next: &mut [usize],
    host: &dyn HostMemory,
    is_real: &mut dyn FnMut(&World) -> bool,
) -> Option<World> {
    let waiting = cpus
        .iter()
        .zip(next.iter())
        .filter_map(|(calls, &n)| calls.get(n));
    let Some(first_end) = waiting.map(|call| call.ended).min() else {
        return is_real(world).then(|| world.clone());
    };
    // What ended early is tried first: mostly that is the order.
    let mut candidates: Vec<(u64, usize)> = cpus
        .iter()
        .zip(next.iter())
        .enumerate()
        .filter_map(|(cpu, (calls, &n))| calls.get(n).map(|call| (cpu, call)))
        .filter(|(_, call)| call.began < first_end)
        .map(|(cpu, call)| (call.ended, cpu))
        .collect();
    candidates.sort_unstable();
    for (_, cpu) in candidates {
        let done = &cpus[cpu][next[cpu]];
        let mut after = world.clone();
        let prediction = after
            .apply(&done.call, host)
            .expect("a command of the model");
        let mut worlds = Vec::new();
        if prediction.allows(&done.reply) {
            worlds.push(after);
        }
        if may_have_come_too_early(done, cpu, cpus) {
            worlds.push(world.clone());
        }
        for after in worlds {
            next[cpu] += 1;
            if let Some(found) = search(&after, cpus, next, host, is_real) {
                return Some(found);
            }
            next[cpu] -= 1;
        }
    }
    None
}

/// Commands that take more than one granule out of a state or into it. While such a call is under
/// way its granules change one after the other, and a call that names one of them is refused
/// rather than made to wait.
const SEVERAL_GRANULES: [u64; 4] = [
    fid::REALM_CREATE,
    fid::REALM_DESTROY,
    fid::REC_CREATE,
    fid::REC_DESTROY,
];

/// Whether a call was refused for the state of a granule while another CPU was changing several.
fn may_have_come_too_early(done: &Done, cpu: usize, cpus: &[Vec<Done>]) -> bool {
    let under_way = |other: &Done| {
        SEVERAL_GRANULES.contains(&other.call[0])
            && other.reply[0] == 0
            && other.began < done.ended
            && done.began < other.ended
    };
    let mut others = cpus.iter().enumerate().filter(|(number, _)| *number != cpu);
    done.reply[0] == ERROR_INPUT && others.any(|(_, calls)| calls.iter().any(under_way))
}
