//! What starts a run on many machines: manifests for Kubernetes, a batch script for Slurm.
//!
//! In: a scenario, how many workers, and where. Out: text. Nothing is applied or submitted: the user's `kubectl` and `sbatch` do that, and what they start is
//! `resurge run --cluster` and `resurge worker`.
//!
//! ```text
//! contents     what the machines need of a scenario: its text, the variables and files that it names
//! needs        processors, memory, descriptors and ports of a worker; how long it all takes
//! kubernetes, slurm    the two forms, each with its template
//! text         templates whose every value is quoted;  names  what Kubernetes accepts as one;  address  of the NATS server
//! ```

mod address;
mod contents;
mod error;
mod kubernetes;
mod names;
mod needs;
mod slurm;
mod text;

pub use contents::{Contents, read_contents};
pub use error::LaunchError;
pub use kubernetes::{KubernetesLaunch, kubernetes_manifests};
pub use needs::{Launch, Times};
pub use slurm::{SlurmLaunch, slurm_script};
