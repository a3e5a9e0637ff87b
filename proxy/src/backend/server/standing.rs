//! What a server is: by its checks, its agent and an operator, all in one atomic.

use std::sync::atomic::Ordering;

use super::{IdleOrder, Server};
use crate::backend::asked::{Administration, Asked, Standing};
use crate::backend::operation::Operation;

impl Server {
    /// What it is to its users.
    pub fn operation(&self) -> Operation {
        self.standing().operation()
    }

    /// What its checks say.
    pub fn checks(&self) -> Operation {
        self.standing().checks
    }

    /// What its agent asks for it.
    pub fn asked(&self) -> Asked {
        self.standing().asked
    }

    /// What an operator orders for it.
    pub fn ordered(&self) -> Administration {
        self.standing().ordered
    }

    /// What becomes of its users by either of them.
    pub fn administration(&self) -> Administration {
        self.standing().administration()
    }

    fn standing(&self) -> Standing {
        Standing::unpacked(self.state.standing.load(Ordering::Acquire))
    }

    /// Whether it has said, by the marker of its last answer, that it goes on purpose.
    pub fn is_draining(&self) -> bool {
        self.state.draining.load(Ordering::Acquire)
    }

    /// Stores what the checks say; gives back what it was before.
    pub(in crate::backend) fn set_operation(&self, operation: Operation, draining: bool) -> Operation {
        self.state.draining.store(draining, Ordering::Release);
        self.change_standing(|standing| Standing { checks: operation, ..standing })
    }

    /// Stores what its agent asks for it; gives back what it was before.
    pub(in crate::backend) fn set_asked(&self, asked: Asked) -> Operation {
        self.change_standing(|standing| Standing { asked, ..standing })
    }

    /// Stores what an operator orders for it; gives back what it was before.
    pub(in crate::backend) fn set_ordered(&self, ordered: Administration) -> Operation {
        self.change_standing(|standing| {
            let administration = if ordered == Administration::Maintenance {
                standing.asked.administration
            } else {
                Administration::Ready
            };
            Standing { ordered, asked: Asked { administration, ..standing.asked }, ..standing }
        })
    }

    fn change_standing(&self, change: impl Fn(Standing) -> Standing) -> Operation {
        let changed = |bits: u8| change(Standing::unpacked(bits));
        let standing = &self.state.standing;
        let (Ok(before) | Err(before)) =
            standing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |bits| Some(changed(bits).packed()));
        let (now, before) = (changed(before), Standing::unpacked(before));
        if is_in_maintenance(before) && !is_in_maintenance(now) {
            self.state.forced.look_again();
        }
        let (now, before) = (now.operation(), before.operation());
        if before != now {
            self.state.chronicle.turned(now == Operation::Down);
        }
        if !now.takes_new_users() && before != now {
            self.lineage.order(IdleOrder { server: self.identity(), all: true });
        }
        before
    }
}

fn is_in_maintenance(standing: Standing) -> bool {
    standing.administration() == Administration::Maintenance
}
