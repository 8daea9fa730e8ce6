//! A run in several processes of one machine: a parent, and a child for each shard.
//!
//! In: how to split. Out: one run folder, as if one process had done it all. The parent has no client: it starts the children ([`children`]), waits until
//! each is ready, gives all the same moment to start at, shows their numbers as one ([`live`]), stops them and merges their journals ([`lead`], [`parent`]). A
//! child ([`child`]) is the same program and runs its share; the two speak in lines of JSON over the child's standard input and output ([`protocol`]), which to
//! the parent is one way of a [`channel`].
//! A child whose parent is gone stops; one that dies is told as lost, and the others go on.

mod barrier;
mod channel;
mod child;
mod children;
mod lead;
mod live;
mod parent;
mod protocol;
mod roll;
mod split;

#[cfg(feature = "cluster")]
pub(super) use channel::{Channel, Heard, Orders, Voice};
pub use child::obey_parent;
#[cfg(feature = "cluster")]
pub(super) use child::{ShareRun, bind_share, run_bound, simulate_share};
#[cfg(feature = "cluster")]
pub(super) use lead::SplitRun;
#[cfg(feature = "cluster")]
pub(super) use parent::start_display;
pub(super) use parent::{run_shards, simulate_in_shards};
#[cfg(feature = "cluster")]
pub(super) use protocol::{Order, Report};
#[cfg(feature = "cluster")]
pub(super) use roll::Patience;
pub use split::Split;
