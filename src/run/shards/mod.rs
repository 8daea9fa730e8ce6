//! A run in several processes of one machine: a parent, and a child for each shard.
//!
//! In: how to split. Out: one run folder, as if one process had done it all. The parent has no client: it starts the children ([`children`]), waits until
//! each is ready, gives all the same moment to start at, shows their numbers as one ([`live`]), stops them ([`parent`]), and merges their journals. A
//! child ([`child`]) is the same program and runs its share; the two speak in lines of JSON over the child's standard input and output ([`protocol`]).
//! A child whose parent is gone stops; one that dies is told as lost, and the others go on.

mod child;
mod children;
mod live;
mod parent;
mod protocol;
mod roll;
mod split;

pub use child::obey_parent;
pub(super) use parent::run_shards;
pub use split::Split;
