//! A proxy between clients and the target that does, at a stage of one connection of each client, what networks do.
//!
//! In: what to do, at which stage. Out: an address to connect to, and how often it was done. Clients are told apart by their source
//! addresses. It knows no more of the protocols than where their stages begin.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::link::carry;
use super::strike::{OUTAGE, Speaks, Strike};

/// What a door is told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    Refuse,
    DropSyn(Duration),
}

/// A proxy's door, which others can shut.
pub(crate) struct Door {
    orders: mpsc::Sender<Order>,
    resets: watch::Sender<u32>,
}

impl Door {
    /// Resets every connection, and shuts the door for [`OUTAGE`].
    pub(crate) fn restart(&self) {
        self.resets.send_modify(|generation| *generation += 1);
        self.tell(Order::Refuse);
    }

    /// One that has enough to do, as one that is shut already, does nothing more.
    pub(crate) fn tell(&self, order: Order) {
        let _ = self.orders.try_send(order);
    }

    /// Each change resets every connection.
    pub(crate) fn resets(&self) -> watch::Receiver<u32> {
        self.resets.subscribe()
    }
}

/// A running proxy; it ends with its runtime.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) door: Arc<Door>,
    shared: Arc<Shared>,
}

/// What the connections of a proxy have in common.
pub(crate) struct Shared {
    pub(crate) target: SocketAddr,
    pub(crate) speaks: Speaks,
    pub(crate) strike: Option<Strike>,
    pub(crate) struck: AtomicU64,
    pub(crate) seen: Mutex<HashMap<IpAddr, u32>>,
    pub(crate) door: Arc<Door>,
}

impl Proxy {
    /// A proxy before `target`. To be called in a runtime.
    pub(crate) fn start(target: SocketAddr, speaks: Speaks, strike: Option<Strike>) -> Self {
        // A port that was asked for by its number stays taken while nobody listens at it: no other cell must get it then.
        let found = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = found.local_addr().unwrap().as_socket().unwrap();
        let socket = bind(address).unwrap();
        drop(found);
        socket.listen(128).unwrap();
        let (orders, ordered) = mpsc::channel(4);
        let (resets, _) = watch::channel(0);
        let door = Arc::new(Door { orders, resets });
        let shared = Arc::new(Shared {
            target,
            speaks,
            strike,
            struck: AtomicU64::new(0),
            seen: Mutex::default(),
            door: Arc::clone(&door),
        });
        tokio::spawn(accept(Arc::clone(&shared), socket, address, ordered));
        Self { address, door, shared }
    }

    /// How often it has struck.
    pub(crate) fn struck(&self) -> u64 {
        self.shared.struck.load(Ordering::SeqCst)
    }
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

async fn accept(shared: Arc<Shared>, socket: Socket, address: SocketAddr, mut orders: mpsc::Receiver<Order>) {
    let mut listener = TcpListener::from_std(socket.into()).unwrap();
    loop {
        let order = tokio::select! {
            biased;
            order = orders.recv() => order,
            accepted = listener.accept() => {
                if let Ok((client, peer)) = accepted {
                    // The test's own come from the loopback address itself: they only fill the queue.
                    if peer.ip() != IpAddr::V4(Ipv4Addr::LOCALHOST) {
                        tokio::spawn(carry(Arc::clone(&shared), client, peer.ip()));
                    }
                }
                continue;
            }
        };
        match order {
            None => return,
            Some(Order::Refuse) => {
                // It stays bound, and refuses. Tokio takes a socket that was shut down once for closed for ever.
                let socket = Socket::from(listener.into_std().unwrap());
                socket.shutdown(Shutdown::Read).unwrap();
                sleep(OUTAGE).await;
                socket.listen(128).unwrap();
                listener = TcpListener::from_std(socket.into()).unwrap();
            }
            Some(Order::DropSyn(window)) => {
                // A queue that is full lets nobody in, and says nothing (tcp(7), `tcp_abort_on_overflow`).
                SockRef::from(&listener).listen(0).unwrap();
                let fillers: Vec<_> = (0..4).map(|_| tokio::spawn(TcpStream::connect(address))).collect();
                sleep(window).await;
                fillers.iter().for_each(tokio::task::JoinHandle::abort);
                SockRef::from(&listener).listen(128).unwrap();
            }
        }
    }
}
