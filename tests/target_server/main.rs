//! The target as a service, over real sockets on free ports.

#[cfg(test)]
mod common;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod http;
#[cfg(test)]
mod open;
#[cfg(test)]
mod services;
#[cfg(test)]
mod sessions;
